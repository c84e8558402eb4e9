//! A process that dies at any of its operations, in normal work and in recovery.

mod support;

use std::sync::Arc;

use groupwal::Options;
use support::fault::{EIO, Op, Plan};
use support::image::{frames, spare_names};
use support::mem::{Image, MemStorage};
use support::tiny::{append_all, contents, open_with, options, payload, payloads, ready};

fn recycling() -> Options {
    options().spare_segments_max(1)
}

fn open(storage: &MemStorage) -> groupwal::Wal {
    open_with(Arc::new(storage.clone()), recycling()).unwrap()
}

/// What a writer had been promised when it died.
#[derive(Default)]
struct Promised {
    /// Every entry below was acknowledged.
    acknowledged: u64,
    /// Entries appended, acknowledged or not.
    attempted: u64,
    /// The highest trim position asked for.
    trimmed: u64,
}

/// Opens, appends over several segments, trims, closes and goes on, until the plan kills it.
fn work(plan: &Plan, storage: &MemStorage, promised: &mut Promised) -> groupwal::Result<()> {
    for round in 0..2 {
        let wal = open_with(plan.over(storage.clone()), recycling())?;
        for step in 0..20 {
            promised.attempted = promised.acknowledged + 1;
            let appended = ready(wal.append(&payload(promised.acknowledged)))?;
            assert_eq!(appended, promised.acknowledged);
            promised.acknowledged += 1;
            // The position 6 makes the trim's frame the last one of its segment.
            if step % 7 == 5 {
                promised.trimmed = promised.acknowledged - u64::from(step > 7);
                ready(wal.trim(promised.trimmed))?;
            }
        }
        if round == 0 {
            ready(wal.close())?;
        }
    }
    Ok(())
}

/// Everything promised is there, recovery is stable, and the log goes on.
fn check(storage: &MemStorage, promised: &Promised) {
    let wal = open(storage);
    let (first, found) = (wal.trim_seq(), contents(&wal));
    let end = first + found.len() as u64;
    assert!(first <= promised.trimmed, "trimmed without being asked to");
    assert!(end >= promised.acknowledged, "acknowledged entries lost");
    assert!(end <= promised.attempted.max(promised.acknowledged));
    assert_eq!(found, payloads(first..end));
    drop(wal);
    let wal = open(storage);
    assert_eq!(wal.recovery().discarded, None, "recovered once already");
    assert_eq!(contents(&wal), found);
    append_all(&wal, end..end + 9);
    drop(wal);
    assert_eq!(contents(&open(storage)), payloads(first..end + 9));
}

#[test]
fn a_writer_killed_at_any_operation_loses_nothing_it_acknowledged() {
    let plan = Plan::default();
    work(&plan, &MemStorage::new(1), &mut Promised::default()).unwrap();
    let operations = plan.changes();
    assert!(operations > 100);
    for changes in 0..operations {
        let (plan, storage) = (Plan::default(), MemStorage::new(1));
        let mut promised = Promised::default();
        plan.die_after(changes);
        let died = work(&plan, &storage, &mut promised);
        assert!(died.is_err(), "killed after {changes} operations");
        check(&storage, &promised);
    }
}

/// Kills recovery at each of its operations, and after each at each of the next one's: the log is
/// the same as if nothing had happened in between.
fn interrupt_recovery(image: &Image) {
    let reference = MemStorage::from_snapshot(image, 5);
    let expected = {
        let wal = open(&reference);
        (wal.trim_seq(), contents(&wal))
    };
    let operations = |image: &Image| {
        let plan = Plan::default();
        let storage = plan.over(MemStorage::from_snapshot(image, 5));
        drop(open_with(storage, recycling()).unwrap());
        plan.changes()
    };
    let killed_after = |image: &Image, changes: u64| {
        let storage = MemStorage::from_snapshot(image, 5);
        let plan = Plan::default();
        plan.die_after(changes);
        assert!(open_with(plan.over(storage.clone()), recycling()).is_err());
        storage.snapshot()
    };
    for first in 0..operations(image) {
        let once = killed_after(image, first);
        for second in 0..operations(&once) {
            let storage = MemStorage::from_snapshot(&killed_after(&once, second), 5);
            let wal = open(&storage);
            assert_eq!(
                (wal.trim_seq(), contents(&wal)),
                expected,
                "{first}, {second}"
            );
            let end = wal.durable_seq();
            append_all(&wal, end..end + 1);
            drop(wal);
            assert_eq!(contents(&open(&storage)).len(), expected.1.len() + 1);
        }
    }
}

/// A log with entries `0..entries`, the last group torn.
fn torn(entries: u64) -> Image {
    let storage = MemStorage::new(1);
    append_all(&open(&storage), 0..entries);
    let mut image = storage.snapshot();
    let last = frames(&image).pop().unwrap();
    image.get_mut(&last.file).unwrap()[last.range().end - 1] ^= 1;
    image
}

#[test]
fn a_cut_interrupted_at_any_operation_gives_the_same_log() {
    interrupt_recovery(&torn(5));
    interrupt_recovery(&torn(8));
    interrupt_recovery(&torn(1));
}

#[test]
fn removing_what_a_trim_left_interrupted_at_any_operation_gives_the_same_log() {
    let storage = MemStorage::new(1);
    append_all(&open(&storage), 0..28);
    let plan = Plan::default();
    let wal = open_with(plan.over(storage.clone()), recycling()).unwrap();
    plan.fail(Op::Rename, 1, EIO);
    ready(wal.trim(21)).unwrap_err();
    drop(wal);
    let mut image = storage.snapshot();
    interrupt_recovery(&image);
    // With a gap, and spare files of an earlier run.
    image.remove(&support::image::segment_name(1)).unwrap();
    image.insert(format!("{:020}.spare", 1), vec![1; 4096]);
    image.insert(format!("{:020}.spare", 2), vec![1; 4096]);
    interrupt_recovery(&image);
}

#[test]
fn the_making_of_a_log_interrupted_at_any_operation_can_be_repeated() {
    interrupt_recovery(&Image::new());
    let storage = MemStorage::new(1);
    drop(open(&storage));
    assert_eq!(spare_names(&storage.snapshot()).len(), 0);
}
