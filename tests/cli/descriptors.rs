//! The number of a log's files has nothing to do with the number of files that a process may have open.

use std::path::Path;

use groupwal::{Builder, Options};

use super::muop;
use super::program::{limited, ran, run};

const SEGMENTS: u64 = 200;
const LIMIT: &str = "-n 64";

/// One entry in each segment, the first one larger than a third of it.
fn write_log(log: &Path) {
    let options = Options::default()
        .block_bytes(512)
        .segment_bytes(64 << 10)
        .entry_bytes_max(48 << 10)
        .group_bytes_max(56 << 10);
    let mut builder = Builder::create(log, 0, &options).unwrap();
    for seq in 0..SEGMENTS {
        builder
            .push(&vec![u8::try_from(seq).unwrap(); 40 << 10])
            .unwrap();
    }
    builder.finish().unwrap();
    let segments = std::fs::read_dir(log).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|extension| extension == "seg")
    });
    assert!(segments.count() >= 200);
}

#[test]
fn a_log_of_more_segments_than_descriptors_is_dumped_verified_and_salvaged() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    write_log(&log);
    let dump = ran(&limited(LIMIT, &[&"dump", &log]).output().unwrap()).ends(0);
    assert_eq!(dump.stdout.lines().count(), 200);
    ran(&limited(LIMIT, &[&"verify", &log]).output().unwrap()).ends(0);
    let verify = ran(&limited(LIMIT, &[&"verify", &log, &"--json"])
        .output()
        .unwrap())
    .ends(0);
    assert_eq!(verify.json()["entries"], SEGMENTS);
    let new = tmp.path().join("new");
    ran(&limited(LIMIT, &[&"salvage", &log, &new]).output().unwrap()).ends(0);
    assert!(run(&[&"dump", &new]).ends(0).stdout == dump.stdout);
}

/// Files with a damaged header are read in another way, and are as many.
#[test]
fn a_damaged_log_of_more_segments_than_descriptors_is_salvaged() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    write_log(&log);
    let path = |id: u64| log.join(format!("{id:020}.seg"));
    let damage = |id: u64, at: usize| {
        let mut bytes = std::fs::read(path(id)).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path(id), bytes).unwrap();
    };
    for id in (0..SEGMENTS).step_by(2) {
        // The log's id.
        damage(id, 24);
    }
    damage(77, 4000);
    std::fs::remove_file(path(99)).unwrap();
    let new = tmp.path().join("new");
    let salvage = ran(&limited(LIMIT, &[&"salvage", &log, &new, &"--json"])
        .output()
        .unwrap())
    .ends(0)
    .json();
    assert_eq!(salvage["mended_headers"].as_array().unwrap().len(), 100);
    assert_eq!(salvage["lost_entries"], 2);
    let verify = ran(&limited(LIMIT, &[&"verify", &log, &"--json"])
        .output()
        .unwrap())
    .ends(1)
    .json();
    assert_eq!(verify["salvage"]["entries"], SEGMENTS - 2);
}

#[test]
fn more_files_than_descriptors_are_imported() {
    let tmp = tempfile::tempdir().unwrap();
    let (wal, log) = (tmp.path().join("wal"), tmp.path().join("log"));
    muop::write_files(&wal, 0, 0, 200, 2, 4);
    ran(&limited(LIMIT, &[&"import-muopdb", &wal, &log])
        .output()
        .unwrap())
    .ends(0);
    assert_eq!(run(&[&"dump", &log]).ends(0).stdout.lines().count(), 400);
}
