//! The turn between two groups: kept for company, used, given back, lost.

use std::task::Poll;

use crate::disk::Job;
use crate::group::{Ask, Next, Pace};
use crate::sync::Arc;
use crate::world::{World, exhaustive, preempted_at_most};

/// Without the turn, the first to come back leads alone and the others are too late for its group.
#[test]
fn members_that_come_back_during_a_turn_share_the_next_group() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10, 11]);
        let (second, third) = (world.waiting(&[20]), world.waiting(&[30]));
        let next = flush.write(true).expect("there is company");
        let turn = next.write_and_keep_turn();
        assert_eq!(turn.gathered(), (0, 2));
        first.wait().unwrap();
        second.wait().unwrap();
        third.wait().unwrap();
        let other = world.spawn(|world| world.append(&[40]).wait());
        let fifth = world.waiting(&[50]);
        let mut due = Job::take(turn);
        while let Some(job) = due {
            due = job.write(true);
        }
        fifth.wait().unwrap();
        other.join().unwrap().unwrap();
        assert!(
            world.disk().groups().len() <= 4,
            "nobody is alone but by being late"
        );
        world.at_rest();
    });
}

#[test]
fn a_turn_that_is_dropped_leaves_the_group_to_its_first_member() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush.write_and_keep_turn();
        first.wait().unwrap();
        let other = world.spawn(|world| world.append(&[30]).wait());
        drop(turn);
        second.wait().unwrap();
        other.join().unwrap().unwrap();
        world.at_rest();
    });
}

/// A runtime that nobody drives keeps its turn for ever: whoever lives elsewhere leads all the same.
#[test]
fn a_turn_holds_up_nobody_who_lives_elsewhere() {
    exhaustive(|| {
        let world = World::apart(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush.write_and_keep_turn();
        first.wait().unwrap();
        let elsewhere = world.spawn(|world| world.append(&[30]).wait());
        assert_eq!(elsewhere.join().unwrap(), Ok(2));
        assert_eq!(second.wait(), Ok(1));
        assert!(turn.take().is_none(), "its group is gone");
        world.at_rest();
    });
}

/// Three threads: at most three preemptions.
#[test]
fn a_turn_that_somebody_led_over_takes_no_later_group() {
    preempted_at_most(3, || {
        let world = World::apart(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush.write_and_keep_turn();
        let elsewhere = world.spawn(|world| {
            world.append(&[30]).wait().unwrap();
            world.append(&[31]).wait().unwrap();
        });
        let mut due = Job::take(turn);
        while let Some(job) = due {
            due = job.write(true);
        }
        first.wait().unwrap();
        second.wait().unwrap();
        elsewhere.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_member_that_leaves_during_a_turn_holds_up_nobody() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush.write_and_keep_turn();
        let other = world.spawn(|world| world.append(&[40]).abandon());
        let third = world.waiting(&[30]);
        drop(second);
        let mut due = Job::take(turn);
        while let Some(job) = due {
            due = job.write(true);
        }
        other.join().unwrap();
        first.wait().unwrap();
        third.wait().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_log_that_closes_during_a_turn_is_sealed() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush.write_and_keep_turn();
        let closer = world.spawn(World::close);
        let mut due = Job::take(turn);
        while let Some(job) = due {
            due = job.write(true);
        }
        first.wait().unwrap();
        second.wait().unwrap();
        closer.join().unwrap().unwrap();
        assert!(world.disk().sealed());
    });
}

#[test]
fn a_turn_does_not_keep_the_log_open() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let turn = flush
            .write(true)
            .expect("it takes the second")
            .write_and_hold(true);
        assert!(matches!(turn, Next::Nothing), "one alone waits for nobody");
        drop((first, second));
        let (first, flush) = world.leading(&[30, 31]);
        let second = world.waiting(&[40]);
        let turn = flush.write_and_keep_turn();
        drop((first, second));
        assert_eq!(Arc::strong_count(&world.log), 1, "it would be locked still");
        let World { log, .. } = world;
        drop(log);
        assert!(turn.take().is_none());
    });
}

#[test]
fn a_member_that_is_alone_finds_no_turn_in_its_way() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (mut first, flush) = world.leading(&[10]);
        assert!(matches!(flush.write_and_hold(true), Next::Nothing));
        assert_eq!(first.poll(), Poll::Ready(Ok(0)));
        assert_eq!(world.append(&[20]).wait(), Ok(1));
        assert_eq!(world.ask(Ask::Barrier).wait(), Ok(2));
    });
}
