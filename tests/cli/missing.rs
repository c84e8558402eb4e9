//! Files that are missing: LOCK says that there was a log, and how far it went.

use std::path::{Path, PathBuf};

use groupwal::Wal;

use super::program::{open, run};
use crate::support::tiny::{append_all, ready};

fn segments(log: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|of| of == "seg"));
    paths.sort();
    paths
}

/// A log of several segments, closed, and how many entries its segments have but the newest.
fn closed_log(log: &Path) -> (u64, u64) {
    let wal = open(log);
    append_all(&wal, 0..20);
    let mut next = 20;
    // Until one more segment has its first entry.
    let old = segments(log).len();
    while segments(log).len() == old {
        append_all(&wal, next..next + 1);
        next += 1;
    }
    append_all(&wal, next..next + 1);
    ready(wal.close()).unwrap();
    (next - 1, next + 1)
}

#[test]
fn a_directory_that_has_lost_every_segment_is_said_to_have_had_a_log() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let (_, next) = closed_log(&log);
    for segment in segments(&log) {
        std::fs::remove_file(segment).unwrap();
    }
    let vouched = format!("Every entry below {next} was durable");
    let text = run(&[&"verify", &log]).ends(1).stdout;
    for word in ["files of the log are missing", "LOCK", &vouched, "corrupt"] {
        assert!(text.contains(word), "{text}");
    }
    let said = run(&[&"verify", &log, &"--json"]).ends(1).json();
    assert_eq!(
        (&said["tail"], &said["segments"]),
        (&"corrupt".into(), &0.into())
    );
    assert_eq!(said["damage"][0]["path"], log.to_str().unwrap());
    assert_eq!(said["salvage"], serde_json::Value::Null);
    let dump = run(&[&"dump", &log]).ends(1);
    assert_eq!(dump.stdout, "");
    assert!(dump.stderr.contains(&vouched), "{}", dump.stderr);
    let new = tmp.path().join("new");
    let salvage = run(&[&"salvage", &log, &new]).ends(1).stderr;
    assert!(salvage.contains(&vouched), "{salvage}");
    assert!(!new.exists());
}

/// Nothing vouches for entries of a log that was not closed, but there was one.
#[test]
fn so_is_one_whose_log_was_never_closed() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    append_all(&open(&log), 0..3);
    for segment in segments(&log) {
        std::fs::remove_file(segment).unwrap();
    }
    for command in ["verify", "dump"] {
        let said = run(&[&command, &log]).ends(1);
        let said = said.stdout + &said.stderr;
        assert!(said.contains("LOCK says that there was a log"), "{said}");
    }
}

#[test]
fn a_closed_log_without_its_newest_segment_is_damaged_and_salvaged_under_its_numbers() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let (kept, next) = closed_log(&log);
    std::fs::remove_file(segments(&log).pop().unwrap()).unwrap();
    let said = run(&[&"verify", &log, &"--json"]).ends(1).json();
    assert_eq!(said["tail"], "corrupt");
    let detail = said["damage"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("missing"), "{detail}");
    assert_eq!(said["salvage"]["lost_entries"], next - kept);
    assert_eq!(said["salvage"]["next_seq"], next);

    let new = tmp.path().join("new");
    let said = run(&[&"salvage", &log, &new, &"--json"]).ends(0).json();
    assert_eq!(said["next_seq"], next);
    let loss = &said["losses"][0];
    assert_eq!((&loss["first"], &loss["end"]), (&kept.into(), &next.into()));
    let said = run(&[&"verify", &new, &"--json"]).ends(0).json();
    assert_eq!(
        (&said["next_seq"], &said["lost"]),
        (&next.into(), &(next - kept).into())
    );
    let wal: Wal = open(&new);
    append_all(&wal, next..next + 1);
}

/// What LOCK says of another log is nothing about this one.
#[test]
fn a_salvage_does_not_believe_another_logs_file() {
    let tmp = tempfile::tempdir().unwrap();
    let (log, other) = (tmp.path().join("log"), tmp.path().join("other"));
    closed_log(&other);
    append_all(&open(&log), 0..3);
    std::fs::copy(other.join("LOCK"), log.join("LOCK")).unwrap();
    run(&[&"verify", &log]).ends(1);
    let said = run(&[&"salvage", &log, &tmp.path().join("new"), &"--json"]);
    assert_eq!(said.ends(0).json()["next_seq"], 3);
}
