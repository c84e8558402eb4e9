//! Failing writes, syncs, renames and a full disk: who learns what, and what the log is afterwards.

mod support;

use std::sync::Arc;

use groupwal::{Error, Wal};
use support::fault::{EIO, ENOSPC, Op, Plan};
use support::image::{frames, segment_names, spare_names};
use support::mem::MemStorage;
use support::tiny::{
    SEGMENT, append_all, contents, open, open_with, options, payload, payloads, ready,
};

struct Bench {
    plan: Plan,
    storage: MemStorage,
    wal: Wal,
}

/// A log with entries `0..entries` on a storage that follows a plan.
fn bench(entries: u64) -> Bench {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let wal = open_with(plan.over(storage.clone()), options()).unwrap();
    append_all(&wal, 0..entries);
    plan.take_events();
    Bench { plan, storage, wal }
}

impl Bench {
    /// Appends what is expected to fail.
    #[track_caller]
    fn fails(&self) -> Error {
        ready(self.wal.append(b"must fail")).unwrap_err()
    }

    /// Kills the log and checks what the next process finds, and that it goes on.
    #[track_caller]
    fn reopens_with(self, entries: u64) {
        drop(self.wal);
        let wal = open(&self.storage).unwrap();
        assert_eq!(contents(&wal), payloads(0..entries));
        append_all(&wal, entries..entries + 8);
        drop(wal);
        let wal = open(&self.storage).unwrap();
        assert_eq!(contents(&wal), payloads(0..entries + 8));
    }
}

/// A write failed in the middle; the log went on behind the garbage, and later acknowledged entries
/// could not be read. Now the frame's header is destroyed first.
#[test]
fn a_failed_write_is_rolled_back_and_the_numbers_stay_gapless() {
    for torn in [0, 1, 64, 70, 512] {
        let bench = bench(3);
        bench.plan.tear_write(0, torn, EIO);
        let error = bench.fails();
        assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
        let writes: Vec<u64> = bench
            .plan
            .take_events()
            .iter()
            .filter(|event| event.op == Op::Write)
            .map(|event| event.offset)
            .collect();
        assert_eq!(writes, [2048, 2048], "the frame, and its roll-back");
        assert_eq!(frames(&bench.storage.snapshot()).len(), 3);
        append_all(&bench.wal, 3..9);
        assert_eq!(contents(&bench.wal), payloads(0..9));
        bench.reopens_with(9);
    }
}

#[test]
fn the_roll_back_is_synced_before_anything_else_is_written() {
    let bench = bench(3);
    bench.plan.fail(Op::Write, 0, EIO);
    bench.fails();
    append_all(&bench.wal, 3..4);
    let ops: Vec<Op> = bench.plan.take_events().iter().map(|e| e.op).collect();
    assert_eq!(ops, [Op::Write, Op::Write, Op::Sync, Op::Write, Op::Sync]);
}

#[test]
fn a_roll_back_that_fails_poisons_the_log() {
    for (op, nth) in [(Op::Write, 1), (Op::Sync, 0)] {
        let bench = bench(3);
        bench.plan.tear_write(0, 512, EIO);
        bench.plan.fail(op, nth, EIO);
        let error = bench.fails();
        assert!(error.is_outcome_unknown() && error.is_poisoned(), "{error}");
        assert!(!error.is_not_written());
        assert!(bench.fails().is_poisoned());
        if op == Op::Sync {
            bench.reopens_with(3);
        }
    }
}

/// The kernel marks pages clean whose write-back failed: a sync after a failed one succeeds without
/// having written them.
#[test]
fn a_failed_sync_poisons_the_log_and_is_never_retried() {
    let bench = bench(3);
    let syncs = bench.plan.count(Op::Sync);
    bench.plan.fail(Op::Sync, 0, EIO);
    let error = bench.fails();
    assert!(error.is_outcome_unknown() && error.is_poisoned(), "{error}");
    assert!(!error.is_not_written());
    assert_eq!(
        error.to_string(),
        "the outcome is unknown: the entry may or may not be in the log; reopen the log to find \
         out. Cause: cannot sync /log/00000000000000000000.seg: Input/output error (os error 5)"
    );
    assert_eq!(error.io_error().unwrap().raw_os_error(), Some(EIO));
    let later = bench.fails();
    assert!(later.is_poisoned() && later.is_not_written() && !later.is_outcome_unknown());
    assert_eq!(
        later.to_string(),
        "the log is poisoned: it takes no more entries until it is opened again. Cause: cannot sync \
         /log/00000000000000000000.seg: Input/output error (os error 5)"
    );
    assert!(ready(bench.wal.trim(2)).unwrap_err().is_poisoned());
    assert!(ready(bench.wal.close()).unwrap_err().is_poisoned());
    assert_eq!(bench.plan.count(Op::Sync), syncs + 1, "a sync was repeated");
    assert!(
        !frames(&bench.storage.snapshot())
            .last()
            .unwrap()
            .header
            .seal
    );
    // What was durable can still be read; the entry whose sync failed is not shown.
    assert_eq!(bench.wal.durable_seq(), 3);
    assert_eq!(contents(&bench.wal), payloads(0..3));
    // The bytes did arrive this time, and the next open makes them durable before it shows them.
    drop(bench.wal);
    let wal = open(&bench.storage).unwrap();
    assert_eq!(contents(&wal)[3].1, b"must fail");
}

#[test]
fn a_short_write_is_continued() {
    for len in [1, 63, 64, 511] {
        let bench = bench(3);
        bench.plan.shorten_write(0, len);
        bench.plan.shorten_write(1, 1);
        append_all(&bench.wal, 3..5);
        bench.reopens_with(5);
    }
}

#[test]
fn a_write_of_nothing_is_a_failed_write() {
    let bench = bench(3);
    bench.plan.shorten_write(0, 0);
    let error = bench.fails();
    assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
    bench.reopens_with(3);
}

/// Disk full in the middle of a segment's preparation: the partial file stayed, or the log was
/// unusable after space had been freed.
#[test]
fn a_full_disk_fails_the_group_that_needs_a_segment_and_the_log_goes_on_when_there_is_room() {
    for room in [0, 1, 2048, SEGMENT as u64 - 1] {
        let bench = bench(7);
        bench.plan.leave_room(room);
        for _ in 0..3 {
            let error = bench.fails();
            assert!(error.is_disk_full() && error.is_not_written(), "{error}");
            assert!(!error.is_poisoned());
            let image = bench.storage.snapshot();
            assert_eq!(segment_names(&image).len(), 1);
            assert_eq!(spare_names(&image).len(), 0, "a partial file is left");
            bench.plan.leave_room(room);
        }
        bench.plan.free_space();
        append_all(&bench.wal, 7..20);
        bench.reopens_with(20);
    }
}

#[test]
fn the_message_of_a_full_disk_says_what_to_do() {
    let bench = bench(7);
    bench.plan.fail(Op::Create, 0, ENOSPC);
    let error = bench.fails();
    assert_eq!(
        error.to_string(),
        "not written: the entry is not in the log and may be appended again. Cause: cannot create \
         /log/00000000000000000002.spare: No space left on device (os error 28) (free some \
         space first)"
    );
    bench.reopens_with(7);
}

#[test]
fn a_segment_that_cannot_be_prepared_fails_its_group_only() {
    // Created, filled, headed, synced, renamed.
    for (op, nth) in [
        (Op::Create, 0),
        (Op::Write, 0),
        (Op::Write, 1),
        (Op::Sync, 0),
        (Op::Rename, 0),
    ] {
        let bench = bench(7);
        bench.plan.fail(op, nth, EIO);
        let error = bench.fails();
        assert!(error.is_not_written(), "{op:?} {nth}: {error}");
        assert!(!error.is_poisoned(), "{op:?} {nth}: {error}");
        let image = bench.storage.snapshot();
        assert_eq!(segment_names(&image).len(), 1);
        assert_eq!(spare_names(&image).len(), 0, "{op:?} {nth}");
        append_all(&bench.wal, 7..8);
        bench.reopens_with(8);
    }
}

/// The new segment has its name and nobody knows whether the name is durable: a whole segment of
/// acknowledged entries would vanish in a power cut.
#[test]
fn a_failed_directory_sync_during_rotation_poisons_the_log() {
    let bench = bench(7);
    bench.plan.fail(Op::SyncDir, 0, EIO);
    let error = bench.fails();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("Cause: cannot sync /log: Input/output error (os error 5)")
    );
    assert!(bench.fails().is_poisoned());
    bench.reopens_with(7);
}

#[test]
fn a_trim_that_cannot_remove_its_files_says_so_and_the_next_open_removes_them() {
    let bench = bench(21);
    bench.plan.fail(Op::Remove, 1, EIO);
    let error = ready(bench.wal.trim(21)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot remove /log/00000000000000000001.seg: Input/output error (os error 5)"
    );
    assert!(!error.is_poisoned());
    append_all(&bench.wal, 21..23);
    drop(bench.wal);
    let wal = open(&bench.storage).unwrap();
    assert_eq!(contents(&wal), payloads(21..23));
    assert_eq!(segment_names(&bench.storage.snapshot()).len(), 1);
}

#[test]
fn a_trim_whose_position_cannot_be_made_durable_removes_nothing() {
    let bench = bench(22);
    bench.plan.fail(Op::Write, 0, EIO);
    let error = ready(bench.wal.trim(21)).unwrap_err();
    assert!(error.is_not_written(), "{error}");
    assert_eq!(segment_names(&bench.storage.snapshot()).len(), 4);
    bench.reopens_with(22);
}

#[test]
fn a_seal_that_cannot_be_written_is_reported_and_can_be_tried_again() {
    let bench = bench(3);
    bench.plan.fail(Op::Write, 0, EIO);
    let error = ready(bench.wal.close()).unwrap_err();
    assert!(error.is_not_written(), "{error}");
    assert!(bench.fails().is_closed());
    ready(bench.wal.close()).unwrap();
    assert!(frames(&bench.storage.snapshot()).pop().unwrap().header.seal);
    bench.reopens_with(3);
}

#[test]
fn every_error_of_opening_names_the_operation_and_the_path() {
    let image = bench(3).storage.snapshot();
    for (op, nth, message) in [
        (Op::List, 0, "cannot list /log: "),
        (Op::Open, 0, "cannot open /log/LOCK: "),
        (Op::Read, 0, "cannot read /log/LOCK: "),
        (Op::Read, 1, "cannot read /log/00000000000000000000.seg: "),
        (
            Op::Write,
            0,
            "cannot write the recovered end of /log/00000000000000000000.seg: ",
        ),
        (
            Op::Sync,
            0,
            "cannot sync the recovered end of /log/00000000000000000000.seg: ",
        ),
        (Op::SyncDir, 0, "cannot sync /log: "),
    ] {
        let plan = Plan::default();
        plan.fail(op, nth, EIO);
        let storage = MemStorage::from_snapshot(&image, 2);
        let error = open_with(plan.over(storage.clone()), options()).unwrap_err();
        let expected = format!("{message}Input/output error (os error 5)");
        assert_eq!(error.to_string(), expected, "{op:?}");
        let wal = open_with(Arc::new(storage), options()).unwrap();
        assert_eq!(contents(&wal), payloads(0..3));
        assert_eq!(ready(wal.append(&payload(3))).unwrap(), 3);
    }
}

/// LOCK says how far a closed log went. That this cannot be written is no reason to doubt the log.
#[test]
fn a_record_of_closing_that_cannot_be_written_is_reported_and_can_be_tried_again() {
    let bench = bench(3);
    // The first write is the seal's.
    bench.plan.fail(Op::Write, 1, EIO);
    let error = ready(bench.wal.close()).unwrap_err();
    assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
    assert!(error.to_string().contains("/log/LOCK"), "{error}");
    ready(bench.wal.close()).unwrap();
    drop(bench.wal);
    let mut image = bench.storage.snapshot();
    assert!(open(&bench.storage).unwrap().recovery().sealed);
    image.retain(|name, _| name == "LOCK");
    let error = open(&MemStorage::from_snapshot(&image, 2)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("closed here with segment 0 and 3 entries"),
        "{error}"
    );
}

#[test]
fn a_record_of_closing_whose_sync_fails_poisons_the_log() {
    let bench = bench(3);
    bench.plan.fail(Op::Sync, 1, EIO);
    let error = ready(bench.wal.close()).unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(ready(bench.wal.close()).unwrap_err().is_poisoned());
    drop(bench.wal);
    assert!(open(&bench.storage).unwrap().recovery().sealed);
}
