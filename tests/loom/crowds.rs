//! Nothing is arranged: whoever comes first leads, whoever comes late waits, and the models only
//! ask that everybody gets an answer and that every answer is true.

use crate::group::Pace;
use crate::world::{World, preempted_at_most};

/// Three threads: at most three preemptions.
#[test]
fn nobody_waits_for_ever_when_groups_are_led_in_their_members_polls() {
    for group_entries in [1, 2] {
        preempted_at_most(4, move || {
            let world = World::new(Pace::Eager, group_entries);
            let second = world.spawn(|world| world.append(&[20]).wait().unwrap());
            let third = world.spawn(|world| world.append(&[30]).wait().unwrap());
            let mut numbers = [
                world.append(&[10]).wait().unwrap(),
                second.join().unwrap(),
                third.join().unwrap(),
            ];
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 1, 2]);
            world.at_rest();
        });
    }
}

/// Two threads, and one for each busy period: at most two preemptions.
#[test]
fn nobody_waits_for_ever_when_flushes_have_threads_of_their_own() {
    for group_entries in [1, 2] {
        preempted_at_most(4, move || {
            let world = World::threaded(Pace::Eager, group_entries);
            let other = world.spawn(|world| world.append(&[20]).wait().unwrap());
            world.append(&[10]).wait().unwrap();
            other.join().unwrap();
        });
    }
}

/// Three threads: at most three preemptions.
#[test]
fn nobody_waits_for_ever_when_another_is_dropped() {
    for group_entries in [1, 2] {
        preempted_at_most(4, move || {
            let world = World::new(Pace::Eager, group_entries);
            let other = world.spawn(|world| world.append(&[20]).wait().unwrap());
            let fickle = world.spawn(|world| world.append(&[30]).abandon());
            world.append(&[10]).wait().unwrap();
            other.join().unwrap();
            fickle.join().unwrap();
            world.at_rest();
        });
    }
}

/// Three threads: at most three preemptions.
#[test]
fn nobody_waits_for_ever_when_groups_are_timed_and_another_is_dropped() {
    preempted_at_most(5, || {
        let world = World::new(Pace::Timed, 2);
        let clock = world.spawn(|world| world.clock.run_out());
        let fickle = world.spawn(|world| world.append(&[20]).abandon());
        world.append(&[10]).wait().unwrap();
        fickle.join().unwrap();
        clock.join().unwrap();
        world.at_rest();
    });
}
