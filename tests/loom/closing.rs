//! Closing, and trim positions: members without entries.

use crate::group::{Ask, Pace, Refusal};
use crate::world::{World, exhaustive, preempted_at_most};

#[test]
fn an_append_that_races_a_close_is_before_the_seal_or_refused() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let other = world.spawn(|world| world.append(&[10]).wait());
        assert!(world.close().is_ok());
        let entries: &[u32] = match other.join().unwrap() {
            Ok(0) => &[10],
            Err(Refusal::Closed) => &[],
            other => panic!("{other:?}"),
        };
        assert_eq!(world.disk().entries(), entries);
        assert!(world.disk().sealed());
        assert_eq!(world.append(&[20]).wait(), Err(Refusal::Closed));
        assert!(world.close().is_ok());
    });
}

#[test]
fn closing_writes_those_who_have_joined_and_refuses_those_in_line() {
    // The group goes because it is full, or because the log is closed.
    for pace in [Pace::Eager, Pace::Timed] {
        exhaustive(move || {
            let world = World::new(pace, 2);
            let (leader, flush) = world.leading(&[10, 11]);
            let forming = world.waiting(&[20]);
            let in_line = world.waiting(&[30, 31]);
            let disk = world.spawn(|_| flush.run_on());
            assert_eq!(world.close(), Ok(3));
            assert_eq!(leader.wait(), Ok(0));
            assert_eq!(forming.wait(), Ok(2));
            assert_eq!(in_line.wait(), Err(Refusal::Closed));
            disk.join().unwrap();
            assert!(world.disk().sealed());
        });
    }
}

/// A log whose last frame is not a seal counts as one that was not closed.
#[test]
fn nothing_is_written_behind_the_seal_of_another_closer() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        world.append(&[10]).wait().unwrap();
        world.log.begin_closing();
        let (closer, flush) = world.leading_ask(Ask::Seal);
        let other = world.spawn(World::close);
        flush.run_alone();
        assert_eq!(closer.wait(), Ok(1));
        assert_eq!(other.join().unwrap(), Ok(1));
        assert!(world.disk().sealed());
    });
}

/// At most three preemptions: two closers take many steps.
#[test]
fn of_two_closers_both_learn_that_the_log_is_sealed() {
    preempted_at_most(3, || {
        let world = World::new(Pace::Eager, 8);
        let other = world.spawn(World::close);
        assert_eq!(world.close(), Ok(0));
        assert_eq!(other.join().unwrap(), Ok(0));
        assert!(world.disk().sealed());
    });
}

#[test]
fn a_close_that_is_dropped_can_be_repeated() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 8);
        let (leader, flush) = world.leading(&[10, 11, 12, 13, 14, 15, 16, 17]);
        let forming = world.waiting(&[20]);
        world.log.begin_closing();
        let barrier = world.waiting_ask(Ask::Barrier);
        let disk = world.spawn(|_| flush.run_on());
        drop(barrier);
        assert_eq!(forming.wait(), Ok(8));
        assert_eq!(world.close(), Ok(9));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert!(world.disk().sealed());
    });
}

/// It is with the next group, or makes one of its own; and it waits for nobody's timer.
#[test]
fn a_trim_position_is_durable_when_it_is_acknowledged() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 2);
        let (leader, flush) = world.leading(&[10, 11]);
        let disk = world.spawn(|_| flush.run_on());
        world.ask(Ask::Trim(2)).wait().unwrap();
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}
