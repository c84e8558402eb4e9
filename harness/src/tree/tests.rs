//! A directory with every kind of node, read, written, read again and copied.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};

use super::copy_dir;
use crate::image::Image;
use crate::scratch::remove_dir;

fn read(dir: &Path) -> Image {
    Image::read(dir, &Image::default()).expect("read")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

fn make(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).expect("made");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that something is not tested, also where the output of tests that pass is not shown.
fn skip(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").ok();
}

/// Every kind of node but devices, which only root can make.
fn populate(dir: &Path) {
    fs::create_dir_all(dir.join("open/below")).expect("created");
    fs::create_dir_all(dir.join("shut/below")).expect("created");
    fs::write(dir.join("open/file"), b"bytes").expect("written");
    fs::write(dir.join("shut/file"), b"").expect("written");
    fs::hard_link(dir.join("open/file"), dir.join("shut/second")).expect("linked");
    fs::hard_link(dir.join("open/file"), dir.join("also")).expect("linked");
    symlink("nowhere/at/all", dir.join("link")).expect("linked");
    symlink("open", dir.join("link-to-dir")).expect("linked");
    fs::hard_link(dir.join("link"), dir.join("link-again")).expect("linked");
    make(&dir.join("fifo"), FileType::Fifo, 0);
    make(&dir.join("socket"), FileType::Socket, 0);
    fs::write(dir.join(OsStr::from_bytes(b"not \xff UTF-8")), b"x").expect("written");
    set_mode(&dir.join("open/file"), 0o640);
    set_mode(&dir.join("fifo"), 0o604);
    set_mode(&dir.join("shut"), 0o500);
}

/// What `stat` tells of every name, as far as it belongs to the state of a directory.
fn told(dir: &Path) -> Vec<(PathBuf, [i64; 6])> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        let stat = fs::symlink_metadata(&path).expect("there");
        if stat.is_dir() {
            let names = fs::read_dir(&path).expect("read");
            open.extend(names.map(|entry| entry.expect("read").path()));
        }
        let links = if stat.is_dir() { 0 } else { stat.nlink() };
        found.push((
            path.strip_prefix(dir).expect("below").to_owned(),
            [
                stat.mode().into(),
                stat.uid().into(),
                stat.gid().into(),
                links.try_into().expect("few"),
                stat.mtime(),
                stat.rdev().try_into().expect("small"),
            ],
        ));
    }
    found.sort();
    found
}

/// Runs a test of this file as an ordinary user.
fn as_ordinary_user(test: &str) -> Output {
    use std::os::unix::process::CommandExt;
    Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", test, "--nocapture"])
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .expect("the test binary can be run by everybody")
}

#[test]
fn every_kind_of_node_is_read_written_and_copied() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    populate(&dir);
    if is_root() {
        make(&dir.join("null"), FileType::CharacterDevice, makedev(1, 3));
        make(&dir.join("loop"), FileType::BlockDevice, makedev(7, 200));
        fs::write(dir.join("sealed"), b"not for reading").expect("written");
        set_mode(&dir.join("sealed"), 0);
        std::os::unix::fs::lchown(dir.join("link-to-dir"), Some(7), Some(8)).expect("given away");
        std::os::unix::fs::lchown(dir.join("socket"), Some(9), None).expect("given away");
    } else {
        skip("for an ordinary user: devices, other owners, a file without permissions");
    }
    let (before, image) = (told(&dir), read(&dir));
    let (written, copied) = (tmp.path().join("written"), tmp.path().join("copied"));
    image.write(&written).expect("written");
    copy_dir(&dir, &copied).expect("copied");
    for dir in [&written, &copied] {
        assert_eq!(told(dir), before);
        let again = read(dir);
        assert!(again.differences(&image).is_empty());
        assert_eq!(again, image);
        assert_eq!(again.fingerprint(), image.fingerprint());
    }
    // Over what is there: a directory without permissions is no obstacle.
    image.write(&written).expect("written");
    assert_eq!(read(&written), image);
    remove_dir(tmp.path()).expect("removed");
}

#[test]
fn an_ordinary_user_reads_writes_and_copies() {
    if !is_root() {
        return every_kind_of_node_is_read_written_and_copied();
    }
    let output = as_ordinary_user("tree::tests::every_kind_of_node_is_read_written_and_copied");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
}

#[test]
fn every_piece_of_metadata_makes_a_difference() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("a", |dir| set_mode(&dir.join("a"), 0o600)),
        (".", |dir| set_mode(dir, 0o700)),
        ("link", |dir| {
            fs::remove_file(dir.join("link")).expect("removed");
            symlink("b", dir.join("link")).expect("linked");
        }),
        ("second", |dir| {
            // The same bytes, but a file of its own.
            fs::remove_file(dir.join("second")).expect("removed");
            fs::copy(dir.join("a"), dir.join("second")).expect("copied");
        }),
        ("fifo", |dir| {
            fs::remove_file(dir.join("fifo")).expect("removed");
            make(&dir.join("fifo"), FileType::Socket, 0);
        }),
        ("a", |dir| {
            let flags = XattrFlags::empty();
            rustix::fs::setxattr(dir.join("a"), "user.k", b"v", flags).expect("set");
        }),
        ("fifo", |dir| {
            if is_root() {
                std::os::unix::fs::lchown(dir.join("fifo"), Some(3), None).expect("given away");
            } else {
                skip("for an ordinary user: a change of owner");
                set_mode(&dir.join("fifo"), 0o600);
            }
        }),
    ];
    for (name, change) in changes {
        let tmp = tempfile::tempdir().expect("a directory");
        fs::write(tmp.path().join("a"), b"bytes").expect("written");
        fs::hard_link(tmp.path().join("a"), tmp.path().join("second")).expect("linked");
        symlink("a", tmp.path().join("link")).expect("linked");
        make(&tmp.path().join("fifo"), FileType::Fifo, 0);
        let before = read(tmp.path());
        change(tmp.path());
        let after = read(tmp.path());
        assert!(after.differences(&before).contains(&name.into()));
        assert_ne!(after.fingerprint(), before.fingerprint(), "{name}");
    }
}

#[test]
fn times_are_kept_and_make_no_difference() {
    let tmp = tempfile::tempdir().expect("a directory");
    let (dir, copy) = (tmp.path().join("store"), tmp.path().join("copy"));
    fs::create_dir(&dir).expect("created");
    let path = dir.join("file");
    fs::write(&path, b"x").expect("written");
    let before = read(&dir);
    let then = std::time::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let file = File::options().write(true).open(&path).expect("there");
    file.set_modified(then).expect("set");
    let after = read(&dir);
    assert_eq!(after, before);
    assert_eq!(after.fingerprint(), before.fingerprint());
    after.write(&copy).expect("written");
    let restored = fs::metadata(copy.join("file")).expect("there").modified();
    assert_eq!(restored.expect("kept"), then);
}

#[test]
fn a_fifo_without_a_writer_holds_nothing_up() {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let tmp = tempfile::tempdir().expect("a directory");
        make(&tmp.path().join("fifo"), FileType::Fifo, 0);
        let image = read(tmp.path());
        assert_eq!(image.file("fifo".as_ref()), None);
        copy_dir(tmp.path(), &tmp.path().with_extension("copy")).expect("copied");
        remove_dir(&tmp.path().with_extension("copy")).expect("removed");
        done.send(()).expect("waited for");
    });
    let ended = ended.recv_timeout(Duration::from_secs(60));
    ended.expect("reading and copying a directory with a FIFO comes to an end");
}

#[test]
fn a_symbolic_link_out_of_the_directory_is_not_followed() {
    let tmp = tempfile::tempdir().expect("a directory");
    let (dir, copy) = (tmp.path().join("store"), tmp.path().join("copy"));
    fs::create_dir_all(tmp.path().join("outside")).expect("created");
    fs::write(tmp.path().join("outside/secret"), b"secret").expect("written");
    fs::create_dir(&dir).expect("created");
    symlink("../outside/secret", dir.join("file")).expect("linked");
    symlink("../outside", dir.join("dir")).expect("linked");
    let image = read(&dir);
    assert_eq!(image.file("file".as_ref()), None);
    assert_eq!(image.file("dir/secret".as_ref()), None);
    image.write(&copy).expect("written");
    for name in ["file", "dir"] {
        let target = fs::read_link(copy.join(name)).expect("a link");
        assert_eq!(target, fs::read_link(dir.join(name)).expect("a link"));
    }
}

#[test]
fn a_hard_link_stays_one_file() {
    let tmp = tempfile::tempdir().expect("a directory");
    let (dir, copy) = (tmp.path().join("store"), tmp.path().join("copy"));
    fs::create_dir(&dir).expect("created");
    fs::write(dir.join("b"), b"one").expect("written");
    fs::hard_link(dir.join("b"), dir.join("a")).expect("linked");
    let before = read(&dir);
    fs::write(dir.join("a"), b"two").expect("written");
    let image = read(&dir).with_part_written("b".as_ref(), &before, 0..2);
    let image = image.expect("it is a file in both");
    assert_eq!(image.file("a".as_ref()).as_deref(), Some(b"twe".as_slice()));
    image.write(&copy).expect("written");
    fs::write(copy.join("a"), b"three").expect("written");
    assert_eq!(fs::read(copy.join("b")).expect("read"), b"three");
}

#[test]
fn holes_cost_nothing_and_stay_holes() {
    const GIB: u64 = 1 << 30;
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    fs::create_dir(&dir).expect("created");
    let file = File::create(dir.join("sparse")).expect("created");
    file.set_len(GIB).expect("grown");
    file.write_all_at(b"here", GIB / 2 + 100).expect("written");
    File::create(dir.join("empty"))
        .expect("created")
        .set_len(GIB)
        .expect("grown");
    let small = |path: &Path| {
        let stat = fs::metadata(path).expect("there");
        assert_eq!(stat.len(), GIB);
        assert!(
            stat.blocks() < 1024,
            "{} has {} blocks",
            path.display(),
            stat.blocks()
        );
    };
    small(&dir.join("sparse"));
    let resident = resident_bytes();
    let image = read(&dir);
    let (written, copied) = (tmp.path().join("written"), tmp.path().join("copied"));
    image.write(&written).expect("written");
    copy_dir(&dir, &copied).expect("copied");
    // Other tests run beside this one.
    assert!(
        resident_bytes() < resident + GIB / 2,
        "{}",
        resident_bytes()
    );
    for dir in [&written, &copied] {
        small(&dir.join("sparse"));
        small(&dir.join("empty"));
        assert_eq!(read(dir), image);
        let mut bytes = [0; 6];
        let file = File::open(dir.join("sparse")).expect("there");
        file.read_exact_at(&mut bytes, GIB / 2 + 99).expect("read");
        assert_eq!(&bytes, b"\0here\0");
    }
}

fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("there");
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

#[test]
fn attributes_are_kept() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    fs::create_dir_all(dir.join("sub")).expect("created");
    fs::write(dir.join("file"), b"x").expect("written");
    let long = vec![b'l'; 2000];
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(dir.join(name), key, value, XattrFlags::empty()).expect("set");
    };
    set("file", "user.key", b"value");
    set("file", "user.long", &long);
    set("sub", "user.empty", b"");
    // Its owner may not write it any more: its attributes are restored all the same.
    set_mode(&dir.join("file"), 0o400);
    let image = read(&dir);
    let (written, copied) = (tmp.path().join("written"), tmp.path().join("copied"));
    image.write(&written).expect("written");
    copy_dir(&dir, &copied).expect("copied");
    for dir in [&written, &copied] {
        assert_eq!(read(dir), image);
        let mut value = vec![0; 3000];
        let len = rustix::fs::getxattr(dir.join("file"), "user.long", value.as_mut_slice());
        assert_eq!(value[..len.expect("kept")], long);
    }
}

#[test]
fn an_error_names_what_was_done_to_what() {
    let tmp = tempfile::tempdir().expect("a directory");
    let error = Image::read(&tmp.path().join("missing"), &Image::default()).expect_err("missing");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let told = error.to_string();
    assert!(told.starts_with("cannot read /"), "{told}");
    assert!(told.contains("/missing: "), "{told}");
}
