//! When a timer fires, and for whom.

use std::task::Poll;

use crate::disk::Job;
use crate::group::Pace;
use crate::world::{World, exhaustive, preempted_at_most};

/// Three threads: at most five preemptions.
#[test]
fn a_full_group_that_times_out_is_led_once() {
    preempted_at_most(5, || {
        let world = World::new(Pace::Timed, 2);
        let other = world.spawn(|world| world.append(&[10]).wait().unwrap());
        let clock = world.spawn(|world| world.clock.run_out());
        world.append(&[20]).wait().unwrap();
        other.join().unwrap();
        clock.join().unwrap();
        let mut entries = world.disk().entries();
        entries.sort_unstable();
        assert_eq!(entries, [10, 20]);
        world.at_rest();
    });
}

/// Its timer has fired, but another member has filled its group and taken it. What forms now is not
/// its group, and not due.
#[test]
fn a_timeout_leads_only_the_group_it_was_armed_for() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 2);
        let late = world.waiting(&[10]);
        world.clock.tick();
        let others = world.spawn(|world| {
            let mut second = world.append(&[20]);
            let mut third = world.append(&[30]);
            let (written, waits) = (second.poll(), third.poll());
            if written.is_ready() {
                assert!(waits.is_pending(), "flushed before its time");
            } else {
                // The timeout came first and took its own group. These two fill the next.
                second.wait().unwrap();
                if waits.is_pending() {
                    third.wait().unwrap();
                }
            }
        });
        assert_eq!(late.wait(), Ok(0));
        others.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_timed_follower_that_is_dropped_hands_its_timer_on() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 8);
        let first = world.waiting(&[10]);
        let second = world.waiting(&[20]);
        // Before its timer fires, or after that and before it is polled.
        let clock = world.spawn(|world| world.clock.tick());
        drop(first);
        assert_eq!(second.wait(), Ok(1));
        clock.join().unwrap();
        world.at_rest();
    });
}

/// The first one, who held the timer, is gone, and a newcomer has its slot.
#[test]
fn a_newcomer_does_not_count_as_the_one_whose_slot_it_has() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 8);
        let (first, second) = (world.waiting(&[10]), world.waiting(&[20]));
        drop(first);
        let newcomer = world.waiting(&[30]);
        let clock = world.spawn(|world| world.clock.tick());
        drop(second);
        assert_eq!(newcomer.wait(), Ok(2));
        clock.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_group_keeps_its_deadline_when_all_its_members_are_dropped() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 8);
        drop(world.waiting(&[10]));
        let clock = world.spawn(|world| world.clock.tick());
        assert_eq!(world.append(&[20]).wait(), Ok(1));
        clock.join().unwrap();
        world.at_rest();
    });
}

/// Three threads: at most five preemptions.
#[test]
fn a_group_that_times_out_during_a_flush_goes_when_it_ends() {
    // Taken by the flush before it, or by its own member.
    for end in [Job::run_on, Job::run_alone] {
        preempted_at_most(5, move || {
            let world = World::new(Pace::Timed, 2);
            let (leader, flush) = world.leading(&[10, 11]);
            let member = world.waiting(&[20]);
            let disk = world.spawn(move |_| end(flush));
            let clock = world.spawn(|world| world.clock.tick());
            assert_eq!(member.wait(), Ok(2));
            assert_eq!(leader.wait(), Ok(0));
            disk.join().unwrap();
            clock.join().unwrap();
            world.at_rest();
        });
    }
}

#[test]
fn a_flush_does_not_go_on_with_a_group_before_its_time() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 2);
        let (leader, flush) = world.leading(&[10, 11]);
        let member = world.waiting(&[20]);
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(world.append(&[21]).wait(), Ok(3));
        assert_eq!(member.wait(), Ok(2));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.disk().groups(), [[10, 11], [20, 21]]);
        world.at_rest();
    });
}

/// A member that waits for room makes the group due, so nobody arms a timer. When it gives up, the
/// group has to wait for its time after all.
#[test]
fn a_group_that_is_no_longer_full_is_timed_again() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 3);
        let (leader, flush) = world.leading(&[10, 11, 12]);
        let armed = world.waiting(&[20]);
        let mut next = world.waiting(&[30]);
        let in_line = world.waiting(&[40, 41]);
        drop(armed);
        assert!(next.woken(), "it is responsible now");
        assert_eq!(next.poll(), Poll::Pending);
        let disk = world.spawn(|_| flush.run_on());
        drop(in_line);
        world.clock.tick();
        assert_eq!(next.wait(), Ok(4));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// A member that waits for room makes the group due, and then the timer fires, which seems to add
/// nothing. It does when the one in line gives up.
#[test]
fn a_timer_that_fires_while_the_group_is_full_is_not_forgotten() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 3);
        let (leader, flush) = world.leading(&[10, 11, 12]);
        let mut timed = world.waiting(&[20]);
        let in_line = world.waiting(&[30, 31, 32]);
        world.clock.tick();
        assert!(timed.woken(), "its timer has fired");
        assert_eq!(timed.poll(), Poll::Pending);
        let disk = world.spawn(|_| flush.run_on());
        drop(in_line);
        assert_eq!(timed.wait(), Ok(3));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

/// The same, but the group is full when its member moves to another task: the timer must learn of
/// its new waker.
#[test]
fn a_timer_wakes_the_task_that_its_member_has_moved_to() {
    exhaustive(|| {
        let world = World::new(Pace::Timed, 3);
        let (leader, flush) = world.leading(&[10, 11, 12]);
        let mut timed = world.waiting(&[20]);
        let in_line = world.waiting(&[30, 31, 32]);
        timed.move_on();
        assert_eq!(timed.poll(), Poll::Pending);
        drop(in_line);
        let disk = world.spawn(|world| {
            flush.run_on();
            world.clock.tick();
        });
        assert_eq!(timed.wait(), Ok(3));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}
