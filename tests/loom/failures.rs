//! Who learns what when a flush fails.

use crate::disk::{BROKEN, DISPLACED, FULL, Fate, PANICKED, UNRUN};
use crate::group::{Ask, Pace, Refusal};
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

/// A trim on a full disk shares its group with an append: only one of them is written.
#[test]
fn of_a_group_that_only_trims_the_trim_is_acknowledged_and_the_entries_are_not() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 8, &[Fate::Durable, Fate::OnlyTrim]);
        let (leader, flush) = world.leading(&[10, 11]);
        let (trim, append) = (world.waiting_ask(Ask::Trim(2)), world.waiting(&[20]));
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(trim.wait(), Ok(2));
        assert_eq!(append.wait(), Err(Refusal::NotWritten(FULL)));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!((world.log.trim_seq(), world.log.durable_seq()), (2, 2));
        assert_eq!(world.append(&[30]).wait(), Ok(2));
        world.at_rest();
    });
}

/// It hid the entries from replays, and the next group made it durable.
#[test]
fn a_trim_position_that_is_not_written_does_not_count() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 8, &[Fate::Durable, Fate::Full]);
        let (leader, flush) = world.leading(&[10, 11]);
        let trim = world.waiting_ask(Ask::Trim(2));
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(trim.wait(), Err(Refusal::NotWritten(FULL)));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.append(&[30]).wait(), Ok(2));
        assert_eq!(world.log.trim_seq(), 0);
        world.at_rest();
    });
}

#[test]
fn a_log_that_stops_tells_all_its_members_that_nothing_was_written() {
    exhaustive(|| {
        let world = World::fated(Pace::Eager, 1, &[Fate::Displaced]);
        let (leader, flush) = world.leading(&[10]);
        let (forming, in_line) = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(leader.wait(), Err(Refusal::Poisoned(DISPLACED)));
        assert_eq!(forming.wait(), Err(Refusal::NotWritten(DISPLACED)));
        assert_eq!(in_line.wait(), Err(Refusal::NotWritten(DISPLACED)));
        disk.join().unwrap();
        assert_eq!(world.close(), Err(Refusal::Poisoned(DISPLACED)));
        assert_eq!(world.disk().entries(), [0; 0]);
    });
}

/// As a trim does that finds another log's files: what is in flight ends as it will.
#[test]
fn a_log_that_is_stopped_from_outside_leaves_its_flush_alone() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let forming = world.waiting(&[20]);
        let disk = world.spawn(|_| flush.run_on());
        world.log.stop(DISPLACED);
        let forming = forming.wait();
        assert!(matches!(
            forming,
            Ok(1) | Err(Refusal::NotWritten(DISPLACED))
        ));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(
            world.append(&[30]).wait(),
            Err(Refusal::Poisoned(DISPLACED))
        );
        let written = 1 + usize::from(forming.is_ok());
        assert_eq!(world.disk().entries().len(), written);
    });
}

/// A seal in flight does not bring a log back that has been stopped.
#[test]
fn a_log_that_is_stopped_while_it_is_sealed_stays_so() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let stopping = world.spawn(|world| world.log.stop(DISPLACED));
        let closed = world.close();
        stopping.join().unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        assert_eq!(
            world.append(&[30]).wait(),
            Err(Refusal::Poisoned(DISPLACED))
        );
    });
}
