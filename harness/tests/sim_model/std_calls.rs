//! The calls that `SimFs` and its files have as `std::fs` has them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use plugpull::sim::{Profile, SimFile, SimFs};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use crate::calls::{Mode, config};
use crate::told::{Told, told};

#[test]
fn what_std_does_in_one_call_it_does_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs = SimFs::new(Profile::Strict, 1);
    let real = |path: &str| dir.path().join(path.trim_start_matches('/'));
    let dirs = [
        "/d",
        "/d/e/f",
        "/d/e",
        "/file",
        "/file/below",
        "/file/far/below",
    ];
    std::fs::write(real("/file"), b"long").expect("nothing in the way");
    fs.write("/file", b"long").expect("nothing in the way");
    for path in dirs {
        let created = told(std::fs::create_dir_all(real(path)));
        assert_eq!(told(fs.create_dir_all(path)), created, "{path}");
        assert_eq!(fs.exists(path), real(path).exists(), "{path}");
        assert_eq!(fs.is_dir(path), real(path).is_dir(), "{path}");
    }
    for path in ["/new", "/file", "/d", "/missing/new", "/file/below"] {
        assert_eq!(
            told(fs.read(path)),
            told(std::fs::read(real(path))),
            "{path}"
        );
        let written = told(std::fs::write(real(path), b"abc"));
        assert_eq!(told(fs.write(path, b"abc")), written, "{path}");
        assert_eq!(
            told(fs.read(path)),
            told(std::fs::read(real(path))),
            "{path}"
        );
    }
}

#[test]
fn space_that_is_reserved_is_zeros_and_nothing_is_cut() {
    let fs = SimFs::new(Profile::Strict, 1);
    let file = fs.create("/f").expect("nothing in the way");
    assert!(file.is_empty().expect("a file"));
    file.write_at(b"abc", 0).expect("no fault is planned");
    file.allocate(5).expect("no fault is planned");
    file.allocate(4).expect("no fault is planned");
    assert_eq!(fs.read("/f").expect("it is there"), b"abc\0\0");
    assert!(!file.is_empty().expect("a file"));
}

/// A move of a handle's cursor, or a use of it.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    Write(usize, u8),
    Seek(SeekFrom),
    SetLen(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let seek = prop_oneof![
        (0..9000_u64).prop_map(SeekFrom::Start),
        (-3000..3000_i64).prop_map(SeekFrom::Current),
        (-3000..3000_i64).prop_map(SeekFrom::End),
    ];
    prop_oneof![
        (0..3000_usize).prop_map(Step::Read),
        (0..3000_usize, any::<u8>()).prop_map(|(len, fill)| Step::Write(len, fill)),
        seek.prop_map(Step::Seek),
        (0..9000_u64).prop_map(Step::SetLen),
    ]
}

fn take<F: Read + Write + Seek>(
    file: &mut F,
    step: &Step,
    set_len: impl Fn(&F, u64) -> io::Result<()>,
) -> Told {
    match *step {
        Step::Read(len) => {
            let mut bytes = vec![7; len];
            let read = file.read(&mut bytes);
            told(read.map(|len| bytes[..len].to_vec()))
        }
        Step::Write(len, letter) => told(file.write(&vec![letter; len])),
        Step::Seek(to) => told(file.seek(to)),
        Step::SetLen(len) => told(set_len(file, len)),
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn its_cursor_moves_as_that_of_std(
        append in any::<bool>(),
        steps in vec(step(), 1..30),
        synced in weighted(0.2, Just(())),
    ) {
        let real = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut real = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .append(append)
            .open(real.path())
            .expect("it is there");
        let options = Mode { read: true, write: true, append, truncate: false, create: true, create_new: false };
        let fs = SimFs::new(Profile::Strict, 1);
        let mut sim = fs.open("/file", &options.options()).expect("nothing in the way");
        for step in &steps {
            let got = take(&mut sim, step, SimFile::set_len);
            let expected = take(&mut real, step, File::set_len);
            if let (Err((kind, _)), Err((io::ErrorKind::InvalidInput, _))) = (&got, &expected) {
                prop_assert_eq!(*kind, io::ErrorKind::InvalidInput);
            } else {
                prop_assert_eq!(got, expected, "{:?}", step);
            }
            if synced.is_some() {
                sim.sync_data().expect("no fault is planned");
            }
        }
    }
}
