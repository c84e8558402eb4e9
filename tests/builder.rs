//! A log made as a whole: it begins where it is told to, opens like any other, and has its name only
//! when all of it is durable.

mod support;

use std::path::Path;
use std::sync::Arc;

use groupwal::{Builder, EngineKind, Entry, Options, OsStorage, Storage, Wal};
use support::fault::{EIO, ENOSPC, Op, Plan};
use support::tiny::{SEGMENT, append_all, contents, payload, payloads, ready};

/// Blocks of 512 bytes and segments of at most 4 KiB, so that a few entries make several.
fn small() -> Options {
    support::tiny::options()
}

fn open(path: &Path) -> Wal {
    ready(Wal::open(path, small().engine(EngineKind::Inline))).unwrap()
}

fn build(storage: Arc<dyn Storage>, path: &Path, first: u64, count: u64) -> groupwal::Result<u64> {
    let mut builder = Builder::create_with(storage, path, first, &small())?;
    for seq in first..first + count {
        assert_eq!(builder.push(&payload(seq))?, seq);
    }
    builder.finish()
}

fn build_on_disk(path: &Path, first: u64, count: u64) {
    build(Arc::new(OsStorage), path, first, count).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names = OsStorage.open_dir(dir).unwrap().list().unwrap();
    names.sort();
    names
}

#[test]
fn a_log_begins_at_any_number_and_goes_on_like_any_other() {
    let tmp = tempfile::tempdir().unwrap();
    for (first, count) in [(0, 0), (0, 1), (0, 60), (1, 0), (1, 60), (1 << 40, 60)] {
        let path = tmp.path().join(format!("log-{first}-{count}"));
        build_on_disk(&path, first, count);
        for name in names(&path) {
            let len = path.join(&name).metadata().unwrap().len();
            assert!(len <= SEGMENT as u64, "{name} is {len} bytes long");
        }
        let wal = open(&path);
        assert!(wal.recovery().sealed && wal.recovery().discarded.is_none());
        assert_eq!(wal.trim_seq(), first);
        assert_eq!(contents(&wal), payloads(first..first + count));
        let next = first + count;
        append_all(&wal, next..next + 20);
        drop(wal);
        let wal = open(&path);
        assert_eq!(contents(&wal), payloads(first..next + 20));
        ready(wal.trim(next + 10)).unwrap();
        ready(wal.close()).unwrap();
        drop(wal);
        let wal = open(&path);
        assert_eq!(wal.trim_seq(), next + 10);
        assert_eq!(contents(&wal).last(), payloads(next + 19..next + 20).last());
    }
}

#[test]
fn a_number_that_no_log_gets_to_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let error = Builder::create(tmp.path().join("log"), 1 << 63, &small()).unwrap_err();
    assert!(error.is_invalid_options(), "{error}");
    assert_eq!(names(tmp.path()), [] as [&str; 0]);
}

#[test]
fn an_invalid_entry_costs_the_others_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    let mut builder = Builder::create(&path, 0, &small()).unwrap();
    builder.push(&payload(0)).unwrap();
    let error = builder.push(&vec![0; 1025]).unwrap_err();
    assert!(error.is_invalid_entry(), "{error}");
    assert_eq!(builder.push(&payload(1)).unwrap(), 1);
    builder.finish().unwrap();
    assert_eq!(contents(&open(&path)), payloads(0..2));
}

#[test]
fn nothing_is_ever_replaced() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    std::fs::create_dir(&path).unwrap();
    let error = Builder::create(&path, 0, &small()).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    std::fs::remove_dir(&path).unwrap();
    // Also if it comes while the log is being made.
    let builder = Builder::create(&path, 0, &small()).unwrap();
    std::fs::create_dir(&path).unwrap();
    builder.finish().unwrap_err();
    assert_eq!(names(&path), [] as [&str; 0]);
    assert_eq!(names(tmp.path()), ["log"]);
}

#[test]
fn an_unfinished_log_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let mut builder = Builder::create(tmp.path().join("log"), 7, &small()).unwrap();
    for seq in 7..60 {
        builder.push(&payload(seq)).unwrap();
    }
    assert_eq!(names(tmp.path()), ["log.partial"]);
    drop(builder);
    assert_eq!(names(tmp.path()), [] as [&str; 0]);
}

#[test]
fn two_builders_of_one_log_do_not_meet() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    let first = Builder::create(&path, 0, &small()).unwrap();
    let error = Builder::create(&path, 0, &small()).unwrap_err();
    assert!(error.is_locked(), "{error}");
    first.finish().unwrap();
}

#[test]
fn what_is_not_an_unfinished_log_is_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    let partial = tmp.path().join("log.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("thesis.txt"), "mine").unwrap();
    let error = Builder::create(tmp.path().join("log"), 0, &small()).unwrap_err();
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(names(&partial), ["thesis.txt"]);
}

/// Whatever the process had done when it died: the name stands for the whole log or for nothing, and
/// the next attempt succeeds.
#[test]
fn a_process_that_dies_anywhere_leaves_all_or_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    build(plan.over(OsStorage), &tmp.path().join("whole"), 5, 40).unwrap();
    let changes = plan.changes();
    assert!(changes > 15, "{changes} operations");
    let (mut nothing, mut all) = (0, 0);
    for life in 1..=changes {
        let path = tmp.path().join(format!("log-{life}"));
        let plan = Plan::default();
        plan.die_after(life);
        build(plan.over(OsStorage), &path, 5, 40).unwrap_err();
        if path.exists() {
            all += 1;
        } else {
            nothing += 1;
            build_on_disk(&path, 5, 40);
        }
        assert_eq!(
            contents(&open(&path)),
            payloads(5..45),
            "after {life} operations"
        );
        assert!(!path.with_extension("partial").exists());
    }
    assert!(nothing > 10, "{nothing} crashes before the name was given");
    assert_eq!(
        all, 1,
        "only the sync of the directory is left after the rename"
    );
}

#[test]
fn a_log_has_its_name_only_when_every_byte_of_it_is_durable() {
    let tmp = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    build(plan.over(OsStorage), &tmp.path().join("log"), 5, 40).unwrap();
    let events = plan.take_events();
    let place = |op, name: &str| events.iter().rposition(|e| e.op == op && e.name == name);
    let renamed = place(Op::Rename, "log.partial").unwrap();
    let names = place(Op::SyncDir, "log.partial").unwrap();
    assert!(names < renamed);
    assert!(
        place(
            Op::SyncDir,
            tmp.path().file_name().unwrap().to_str().unwrap()
        ) > Some(renamed)
    );
    for event in events.iter().filter(|event| event.op == Op::Write) {
        let (write, sync) = (place(Op::Write, &event.name), place(Op::Sync, &event.name));
        assert!(
            write < sync,
            "{} is synced after its last write",
            event.name
        );
        assert!(sync < Some(names));
    }
}

#[test]
fn a_disk_that_fails_or_is_full_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    for (op, nth) in [
        (Op::Write, 3),
        (Op::Sync, 1),
        (Op::Create, 2),
        (Op::Rename, 0),
    ] {
        for errno in [EIO, ENOSPC] {
            let path = tmp.path().join("log");
            let plan = Plan::default();
            plan.fail(op, nth, errno);
            let error = build(plan.over(OsStorage), &path, 0, 40).unwrap_err();
            assert_eq!(error.is_disk_full(), errno == ENOSPC, "{error}");
            assert!(!path.exists(), "{op:?}");
        }
    }
}

/// A replay must not pass over what is lost, or its reader takes the entry behind the hole for the one
/// after the entry before it.
#[test]
fn lost_entries_keep_their_numbers_and_stop_a_replay() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    let mut builder = Builder::create(&path, 10, &small()).unwrap();
    builder.push(&payload(10)).unwrap();
    builder.push_lost(3).unwrap();
    assert_eq!(builder.push(&payload(14)).unwrap(), 14);
    builder.push_lost(u64::from(u32::MAX) + 5).unwrap();
    builder.push_lost(0).unwrap();
    let behind = builder.next_seq();
    assert_eq!(behind, 15 + u64::from(u32::MAX) + 5);
    builder.push(&payload(behind)).unwrap();
    builder.finish().unwrap();
    let wal = open(&path);
    assert_eq!(wal.recovery().entries, 3);
    assert_eq!(wal.recovery().lost, 3 + u64::from(u32::MAX) + 5);
    assert_eq!(wal.durable_seq(), behind + 1);
    let mut replay = wal.replay(10);
    assert_eq!(ready(replay.next()).unwrap().unwrap().seq, 10);
    for _ in 0..2 {
        let error = ready(replay.next()).unwrap_err();
        assert_eq!(error.lost_entries(), Some(11..14), "{error}");
    }
    drop(replay);
    // Also from the middle of the hole.
    let error = ready(wal.replay(12).next()).unwrap_err();
    assert_eq!(error.lost_entries(), Some(12..14));
    let mut seq = 14;
    let mut found = Vec::new();
    let mut replay = wal.replay(seq);
    loop {
        match ready(replay.next()) {
            Ok(Some(record)) => {
                assert!(
                    matches!(record.entry, Entry::Bytes(bytes) if bytes == payload(record.seq))
                );
                found.push(record.seq);
            }
            Ok(None) => break,
            Err(error) => {
                let lost = error.lost_entries().expect("only losses are in the way");
                assert!(lost.start >= seq);
                seq = lost.end;
                replay = wal.replay(seq);
            }
        }
    }
    assert_eq!(found, [14, behind]);
    drop(replay);
    append_all(&wal, behind + 1..behind + 3);
    ready(wal.trim(14)).unwrap();
    drop(wal);
    let wal = open(&path);
    assert_eq!(ready(wal.replay(14).next()).unwrap().unwrap().seq, 14);
}

#[test]
fn more_lost_entries_than_a_log_can_have_are_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let mut builder = Builder::create(tmp.path().join("log"), 0, &small()).unwrap();
    let error = builder.push_lost(1 << 60).unwrap_err();
    assert!(error.is_invalid_entry(), "{error}");
}
