//! Futures that are dropped at a bad moment.

use crate::group::Pace;
use crate::world::{World, exhaustive};

/// Before its flush runs, while it runs, and after it, when the outcome is there to be fetched.
#[test]
fn a_flush_outlives_the_future_of_its_leader() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 2);
        let follower = world.waiting(&[10]);
        let (leader, flush) = world.leading(&[20]);
        let disk = world.spawn(|_| flush.run_on());
        drop(leader);
        assert_eq!(follower.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.disk().groups(), [[10, 20]]);
        world.at_rest();
    });
}

#[test]
fn a_member_dropped_while_its_outcome_is_published_disturbs_nobody() {
    for dropped in 0..3 {
        exhaustive(move || {
            let world = World::new(Pace::Timed, 3);
            let (first, second) = (world.waiting(&[10]), world.waiting(&[20]));
            let (leader, flush) = world.leading(&[30]);
            let disk = world.spawn(|_| flush.run_on());
            let mut members = vec![(0, first), (1, second), (2, leader)];
            drop(members.remove(dropped));
            for (number, member) in members {
                assert_eq!(member.wait(), Ok(number));
            }
            disk.join().unwrap();
            world.at_rest();
        });
    }
}

#[test]
fn a_member_woken_to_lead_and_dropped_instead_passes_it_on() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let (first, second) = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.run_alone());
        drop(first);
        assert_eq!(second.wait(), Ok(2));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// Nobody is left to lead the group, but somebody waits for room in it.
#[test]
fn a_group_whose_members_are_all_dropped_is_led_by_the_first_in_line() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 2);
        let (leader, flush) = world.leading(&[10]);
        let dropped = world.waiting(&[20]);
        let in_line = world.waiting(&[30, 31]);
        let disk = world.spawn(|_| flush.run_on());
        drop(dropped);
        assert_eq!(in_line.wait(), Ok(2));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.disk().groups(), [vec![10], vec![20], vec![30, 31]]);
        world.at_rest();
    });
}
