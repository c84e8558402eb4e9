//! Which group an entry is in, and who leads it.

use std::task::Poll;

use crate::group::Pace;
use crate::world::{World, exhaustive, preempted_at_most};

#[test]
fn every_entry_is_in_one_group_and_gets_the_number_of_its_place() {
    // Alone in its group, or with others.
    for group_entries in [1, 8] {
        exhaustive(move || {
            let world = World::new(Pace::Eager, group_entries);
            let other = world.spawn(|world| {
                let first = world.append(&[10]).wait().unwrap();
                assert!(first < world.append(&[11]).wait().unwrap());
            });
            world.append(&[20]).wait().unwrap();
            other.join().unwrap();
            // Acknowledgements are checked one by one; here, that nothing is there twice.
            let mut entries = world.disk().entries();
            entries.sort_unstable();
            assert_eq!(entries, [10, 11, 20]);
            assert_eq!(world.log.durable_seq(), 3);
            world.at_rest();
        });
    }
}

/// Three threads: at most five preemptions.
#[test]
fn members_that_gather_during_a_flush_share_the_next_without_gaps() {
    preempted_at_most(5, || {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let other = world.spawn(|world| world.append(&[20]).wait().unwrap());
        let disk = world.spawn(|_| flush.run_on());
        world.append(&[30]).wait().unwrap();
        assert_eq!(leader.wait(), Ok(0));
        other.join().unwrap();
        disk.join().unwrap();
        let mut entries = world.disk().entries();
        entries.sort_unstable();
        assert_eq!(entries, [10, 20, 30]);
    });
}

#[test]
fn a_batch_is_all_in_one_group() {
    // Alone in a group that it overfills, fills, or leaves room in.
    for group_entries in 1..=3 {
        exhaustive(move || {
            let world = World::new(Pace::Eager, group_entries);
            let (leader, flush) = world.leading(&[10]);
            let single = world.waiting(&[20]);
            let disk = world.spawn(|_| flush.run_on());
            world.append(&[30, 31]).wait().unwrap();
            single.wait().unwrap();
            leader.wait().unwrap();
            disk.join().unwrap();
            let groups = world.disk().groups();
            let whole = |group: &&Vec<u32>| group.ends_with(&[30, 31]);
            let group = groups.iter().find(whole).expect("all in one");
            assert!(group.len() == 2 || group_entries >= 3, "too many");
            world.at_rest();
        });
    }
}

#[test]
fn an_arrival_during_a_sync_is_not_acknowledged_by_it() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let disk = world.spawn(|_| flush.run_on());
        assert_eq!(world.append(&[20]).wait(), Ok(1));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        assert_eq!(world.disk().groups(), [[10], [20]]);
    });
}

#[test]
fn a_group_that_gathered_during_a_flush_is_led_by_somebody() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let others = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.run_alone());
        assert_eq!(others.0.wait(), Ok(1));
        assert_eq!(others.1.wait(), Ok(2));
        assert_eq!(leader.wait(), Ok(0));
        disk.join().unwrap();
        world.at_rest();
    });
}

#[test]
fn a_flush_goes_on_with_the_members_at_its_home_and_with_no_others() {
    exhaustive(|| {
        let world = World::apart(Pace::Eager, 8);
        let (leader, flush) = world.leading(&[10]);
        let at_home = world.waiting(&[20]);
        let next = flush.write(true).expect("its first member is at home");
        let elsewhere = world.spawn(|world| world.append(&[30]).wait());
        assert!(next.write(true).is_none(), "its first member is elsewhere");
        assert_eq!(leader.wait(), Ok(0));
        assert_eq!(at_home.wait(), Ok(1));
        assert_eq!(elsewhere.join().unwrap(), Ok(2));
        world.at_rest();
    });
}

/// On whatever thread it runs: its home is where its leader was polled.
#[test]
fn a_flush_keeps_its_home_as_it_goes_on() {
    exhaustive(|| {
        let world = World::apart(Pace::Eager, 1);
        let (first, flush) = world.leading(&[10]);
        let (second, mut third) = (world.waiting(&[20]), world.waiting(&[30]));
        let disk = world.spawn(|_| flush.write(true).expect("the second is at home"));
        let flush = disk.join().unwrap();
        assert!(third.woken(), "the second group leaves room");
        assert!(third.poll().is_pending());
        let disk = world.spawn(|_| flush.write(true).expect("the third is at home"));
        disk.join().unwrap().run_alone();
        for (number, member) in [first, second, third].into_iter().enumerate() {
            assert_eq!(member.wait(), Ok(number as u64));
        }
        world.at_rest();
    });
}

#[test]
fn the_latest_waker_is_the_one_that_is_woken() {
    exhaustive(|| {
        let world = World::new(Pace::Eager, 8);
        let (mut leader, flush) = world.leading(&[10]);
        let disk = world.spawn(|_| flush.run_on());
        leader.move_on();
        let answer = match leader.poll() {
            Poll::Ready(answer) => answer,
            Poll::Pending => leader.wait(),
        };
        assert_eq!(answer, Ok(0));
        disk.join().unwrap();
    });
}
