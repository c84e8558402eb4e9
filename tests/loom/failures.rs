//! Who learns what when a flush fails.

use crate::disk::{BROKEN, FULL, Fate, PANICKED, UNRUN};
use crate::group::{Pace, Refusal};
use crate::world::{World, exhaustive};

#[test]
fn a_failed_sync_reaches_its_members_those_behind_them_and_everyone_after() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 1, &[Fate::Broken]);
        let (leader, flush) = world.leading(&[10]);
        let (forming, in_line) = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.run_on());
        let newcomer = world.append(&[40]).wait();
        assert!(matches!(
            newcomer,
            Err(Refusal::NotWritten(BROKEN) | Refusal::Poisoned(BROKEN))
        ));
        assert_eq!(leader.wait(), Err(Refusal::OutcomeUnknown(BROKEN)));
        assert_eq!(forming.wait(), Err(Refusal::NotWritten(BROKEN)));
        assert_eq!(in_line.wait(), Err(Refusal::NotWritten(BROKEN)));
        disk.join().unwrap();
        let after = world.append(&[50]).wait();
        assert_eq!(after, Err(Refusal::Poisoned(BROKEN)));
        assert_eq!(world.close(), Err(Refusal::Poisoned(BROKEN)));
        assert_eq!(world.disk().entries(), [10]);
        assert_eq!(world.log.durable_seq(), 0);
    });
}

/// In line, let in, or joined: it is not in the group that fails.
#[test]
fn a_failed_sync_reaches_those_whose_turn_has_come() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 1, &[Fate::Durable, Fate::Broken]);
        let (leader, flush) = world.leading(&[10]);
        let (second, third) = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(third.wait(), Err(Refusal::NotWritten(BROKEN)));
        assert_eq!(second.wait(), Err(Refusal::OutcomeUnknown(BROKEN)));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.log.durable_seq(), 1);
    });
}

#[test]
fn a_group_that_was_not_written_leaves_no_gap_in_the_numbers() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 8, &[Fate::Full]);
        let (leader, flush) = world.leading(&[10, 11]);
        let next = world.waiting(&[20]);
        let disk = world.spawn(|_| flush.run_on());
        let last = world.append(&[30]).wait();
        assert_eq!(next.wait(), Ok(0));
        assert_eq!(last, Ok(1));
        assert_eq!(leader.wait(), Err(Refusal::NotWritten(FULL)));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// As on the blocking pool of a runtime that is shut down.
#[test]
fn a_flush_dropped_unrun_fails_only_its_own_group() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let next = world.waiting(&[20]);
        let disk = world.spawn(|_| drop(flush));
        assert_eq!(next.wait(), Ok(0));
        assert_eq!(leader.wait(), Err(Refusal::NotWritten(UNRUN)));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// As by a panic.
#[test]
fn a_flush_dropped_half_way_poisons_the_log() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, mut flush) = world.leading(&[10]);
        let next = world.waiting(&[20]);
        let disk = world.spawn(|_| {
            flush.begin();
            drop(flush);
        });
        assert_eq!(next.wait(), Err(Refusal::NotWritten(PANICKED)));
        assert_eq!(leader.wait(), Err(Refusal::OutcomeUnknown(PANICKED)));
        disk.join().unwrap();
        let after = world.append(&[30]).wait();
        assert_eq!(after, Err(Refusal::Poisoned(PANICKED)));
    });
}
