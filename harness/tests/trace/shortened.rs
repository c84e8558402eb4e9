//! A write that is cut short.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use plugpull::trace::{Call, Decision, End};

use crate::traced::{Notes, Traced};

/// What a shortened write is cut from.
fn one_of_each_write(store: &Path) {
    let mut file = File::create(store.join("f")).expect("create");
    file.write_all(b"0123456789").expect("write");
    file.write_all_at(b"abcdefghij", 10).expect("pwrite");
    // Constants, so that the array itself may be in memory that cannot be written to.
    let parts = [b"KLM".as_slice(), b"", b"NOPQ", b"RST"].map(io::IoSlice::new);
    let mut file = File::options()
        .append(true)
        .open(store.join("f"))
        .expect("open");
    let written = file.write_vectored(&parts).expect("writev");
    assert_eq!(written, 10);
}

#[test]
fn a_shortened_write_leaves_exactly_its_prefix() {
    const ALL: &[u8] = b"0123456789abcdefghijKLMNOPQRST";
    let traced = Traced::new(
        "shortened::a_shortened_write_leaves_exactly_its_prefix",
        one_of_each_write,
    );
    for (index, name) in ["write", "pwrite64", "writev"].into_iter().enumerate() {
        for length in 0..=10 {
            let mut notes = Notes::new(&traced, |_, call: &Call| {
                let [before] = call.paths() else {
                    panic!("{call}")
                };
                assert_eq!(before, "f");
                if call.name() == name && call.offset() == Some(10 * index as u64) {
                    Decision::ShortenThenKill(length)
                } else {
                    Decision::Continue
                }
            });
            let Some(run) = traced.run(&mut notes) else {
                return;
            };
            assert_eq!(run.end, End::Killed);
            let last = notes.lines.last().expect("some calls");
            assert!(last.ends_with(&format!(" = {length}")), "{last}");
            let left = fs::read(traced.dir().join("f")).expect("it was made");
            let expected = usize::try_from(length).expect("small") + 10 * index;
            assert_eq!(
                left.escape_ascii().to_string(),
                ALL[..expected].escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn what_cannot_be_shortened_is_an_error_and_leaves_nothing_alive() {
    let traced = Traced::new(
        "shortened::what_cannot_be_shortened_is_an_error_and_leaves_nothing_alive",
        one_of_each_write,
    );
    for (name, length) in [("openat", 0), ("write", 11), ("writev", 11)] {
        let mut notes = Notes::new(&traced, |_, call: &Call| match call.name() {
            called if called == name => Decision::ShortenThenKill(length),
            _ => Decision::Continue,
        });
        match traced.try_run(&mut notes) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return eprintln!("skipped: {error}");
            }
            run => {
                let kind = run.expect_err("it cannot be done").kind();
                assert_eq!(kind, io::ErrorKind::InvalidInput);
            }
        }
    }
}
