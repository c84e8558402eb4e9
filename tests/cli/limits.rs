//! A limit on the size of files (`ulimit -f`): the file is named, the way out too, and nothing half made is
//! left. By default the signal that comes with it ends a program without a word.

use std::path::Path;

use groupwal::{Builder, Options};

use super::muop;
use super::program::{limited, ran};

/// 32 or 64 KiB: shells count in blocks of different sizes.
const LIMIT: &str = "-f 64";

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write_log(log: &Path) {
    let mut builder = Builder::create(log, 0, &Options::default()).unwrap();
    for _ in 0..40 {
        builder.push(&vec![7_u8; 10_000]).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn a_salvage_that_may_not_write_so_much_says_where_and_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let (log, new) = (tmp.path().join("log"), tmp.path().join("new"));
    write_log(&log);
    let said = ran(&limited(LIMIT, &[&"salvage", &log, &new]).output().unwrap()).ends(2);
    let partial = tmp.path().join("new.partial");
    for word in [partial.to_str().unwrap(), ".seg", "ulimit -f"] {
        assert!(said.stderr.contains(word), "{}", said.stderr);
    }
    assert_eq!(names(tmp.path()), ["log"]);
}

#[test]
fn an_import_that_may_not_write_so_much_says_where_and_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let (wal, log) = (tmp.path().join("wal"), tmp.path().join("log"));
    muop::write_files(&wal, 0, 0, 2, 200, 256);
    let mut command = limited(LIMIT, &[&"import-muopdb", &wal, &log]);
    let said = ran(&command.output().unwrap()).ends(2);
    let partial = tmp.path().join("log.partial");
    for word in [partial.to_str().unwrap(), ".seg", "ulimit -f"] {
        assert!(said.stderr.contains(word), "{}", said.stderr);
    }
    assert_eq!(names(tmp.path()), ["wal"]);
}

#[test]
fn a_dump_into_a_file_that_may_not_get_so_large_says_so() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    write_log(&log);
    let out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(tmp.path().join("out"))
        .unwrap();
    let mut command = limited(LIMIT, &[&"dump", &log]);
    let said = ran(&command.stdout(out).output().unwrap()).ends(2).stderr;
    assert!(said.contains("standard output"), "{said}");
    assert!(said.contains("ulimit -f"), "{said}");
}
