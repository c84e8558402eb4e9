//! Members that wait for room.

use std::task::Poll;

use crate::group::Pace;
use crate::world::{World, exhaustive};

#[test]
fn room_is_given_in_order_of_arrival() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 1);
        let (first, flush) = world.leading(&[10]);
        let second = world.waiting(&[20]);
        let third = world.waiting(&[30]);
        let fourth = world.waiting(&[40]);
        let disk = world.spawn(|_| flush.run_on());
        // Room or not: others were here before it.
        let last = world.waiting(&[50]);
        for (number, member) in [second, third, fourth, last].into_iter().enumerate() {
            assert_eq!(member.wait(), Ok(number as u64 + 1));
        }
        assert_eq!(first.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn as_many_are_woken_as_there_is_room_for() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 2);
        let (leader, flush) = world.leading(&[10]);
        let forming = world.waiting(&[20, 21]);
        let (mut third, mut fourth) = (world.waiting(&[30]), world.waiting(&[40]));
        let next = flush.write(true).expect("the other group is due");
        assert!(third.woken() && fourth.woken(), "there is room for both");
        let disk = world.spawn(|_| next.run_on());
        let (third, fourth) = (third.wait(), fourth.wait());
        assert_eq!((third, fourth), (Ok(3), Ok(4)));
        assert_eq!(forming.wait(), Ok(1));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// Dropped while it waits for room, and when room has been reserved for it.
#[test]
fn a_waiter_dropped_in_line_or_at_its_turn_strands_nobody() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 1);
        let (leader, flush) = world.leading(&[10]);
        let forming = world.waiting(&[20]);
        let (dropped, next) = (world.waiting(&[30]), world.waiting(&[40]));
        let disk = world.spawn(|_| flush.run_on());
        drop(dropped);
        assert_eq!(next.wait(), Ok(2));
        assert_eq!(forming.wait(), Ok(1));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_large_waiter_that_is_dropped_lets_in_the_small_one_behind_it() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 3);
        let (leader, flush) = world.leading(&[10]);
        let forming = world.waiting(&[20, 21]);
        let (large, mut small) = (world.waiting(&[30, 31]), world.waiting(&[40]));
        drop(large);
        assert!(small.woken(), "it fits");
        assert_eq!(small.poll(), Poll::Pending);
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(small.wait(), Ok(3));
        assert_eq!(forming.wait(), Ok(1));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.disk().groups(), [vec![10], vec![20, 21, 40]]);
        world.at_rest();
    });
}

/// Nobody's timer needs to fire for that.
#[test]
fn a_member_that_finds_no_room_makes_the_group_go() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 2);
        let small = world.waiting(&[10]);
        let other = world.spawn(|world| world.append(&[20, 21]).wait());
        assert_eq!(small.wait(), Ok(0));
        assert_eq!(other.join().unwrap(), Ok(1));
        world.at_rest();
    });
}
