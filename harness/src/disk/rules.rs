//! The rules of what a crash leaves, on a disk of four pages.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::choice::Sampling;
use super::core::Core;
use super::faults::FaultPlan;
use super::image::Image;
use super::record::{Recording, Request};
use super::states::Crashes;

const PAGE: u64 = 4096;

/// A disk of four pages that is asked for one thing at a time, or not.
struct Bench {
    core: Core,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(100));
        let core = Core::new(Image::zeros(4 * PAGE), clock);
        core.start_recording();
        Self { core }
    }

    fn ask(&self, request: Request) {
        let arrived = self.core.arrive();
        self.core.carry_out(arrived, request).ok();
    }

    /// Fills a page; what the clock says then.
    fn write(&self, page: u64, byte: u8) -> u64 {
        self.ask(Request::write(page * PAGE, &[byte; 4096], false));
        self.core.arrive()
    }

    fn flush(&self) -> u64 {
        self.ask(Request::flush());
        self.core.arrive()
    }

    fn recording(&self) -> Recording {
        self.core.stop_recording().expect("it was begun")
    }
}

/// Everything, torn and reordered writes aside.
fn subsets() -> Sampling {
    Sampling {
        exhaustive_max: 8,
        ..Sampling::prefixes()
    }
}

/// The first bytes of the first three pages, of all that a crash at an index leaves.
fn left(recording: &Recording, index: u64, sampling: &Sampling) -> Vec<[u8; 3]> {
    let crashes = Crashes::at(recording, index, sampling);
    let states = crashes.states().iter().map(|state| {
        let image = crashes.image(&state.outcome).expect("of this recording");
        assert_eq!(image.fingerprint(), state.fingerprint);
        [0, 1, 2].map(|page| image.page_bytes(page).map_or(0, |bytes| bytes[0]))
    });
    let mut left: Vec<_> = states.collect();
    left.sort_unstable();
    left
}

#[test]
fn a_write_may_be_lost_until_a_flush_has_been_answered() {
    let bench = Bench::new();
    let written = bench.write(0, 1);
    let flushed = bench.flush();
    let recording = bench.recording();
    assert_eq!(left(&recording, 100, &subsets()), [[0, 0, 0]]);
    assert_eq!(
        left(&recording, written, &subsets()),
        [[0, 0, 0], [1, 0, 0]]
    );
    assert_eq!(left(&recording, flushed, &subsets()), [[1, 0, 0]]);
}

#[test]
fn pending_writes_reach_the_disk_in_any_order() {
    let bench = Bench::new();
    bench.write(0, 1);
    let last = bench.write(1, 2);
    let recording = bench.recording();
    let all = [[0, 0, 0], [0, 2, 0], [1, 0, 0], [1, 2, 0]];
    assert_eq!(left(&recording, last, &subsets()), all);
    let prefixes = [[0, 0, 0], [1, 0, 0], [1, 2, 0]];
    assert_eq!(left(&recording, last, &Sampling::prefixes()), prefixes);
}

#[test]
fn a_write_that_was_under_way_when_a_flush_arrived_is_not_covered_by_it() {
    let bench = Bench::new();
    bench.write(0, 1);
    let flush_arrived = bench.core.arrive();
    let write_arrived = bench.core.arrive();
    let late = Request::write(PAGE, &[2; 4096], false);
    bench
        .core
        .carry_out(write_arrived, late)
        .expect("no fault is planned");
    bench
        .core
        .carry_out(flush_arrived, Request::flush())
        .expect("no fault is planned");
    let flushed = bench.core.arrive();
    let again = bench.flush();
    let recording = bench.recording();
    assert_eq!(
        left(&recording, flushed, &subsets()),
        [[1, 0, 0], [1, 2, 0]]
    );
    assert_eq!(left(&recording, again, &subsets()), [[1, 2, 0]]);
    // Under way, but not answered: it may be there already.
    let before = flush_arrived;
    assert_eq!(left(&recording, before, &subsets()), [[0, 0, 0], [1, 0, 0]]);
}

#[test]
fn a_flush_that_failed_covers_nothing() {
    let bench = Bench::new();
    bench.core.plan_faults(FaultPlan::default().fail_flush(1));
    bench.write(0, 1);
    let failed = bench.flush();
    let flushed = bench.flush();
    let recording = bench.recording();
    assert_eq!(left(&recording, failed, &subsets()), [[0, 0, 0], [1, 0, 0]]);
    assert_eq!(left(&recording, flushed, &subsets()), [[1, 0, 0]]);
}

#[test]
fn a_write_that_failed_is_in_no_prefix_and_may_be_there() {
    let bench = Bench::new();
    bench.core.plan_faults(FaultPlan::default().fail_write(1));
    let failed = bench.write(0, 1);
    assert_eq!(
        bench.core.image().page_bytes(0),
        None,
        "it leaves the disk as it was"
    );
    let flushed = bench.flush();
    let recording = bench.recording();
    assert_eq!(left(&recording, failed, &Sampling::prefixes()), [[0, 0, 0]]);
    assert_eq!(left(&recording, failed, &subsets()), [[0, 0, 0], [1, 0, 0]]);
    assert_eq!(left(&recording, flushed, &subsets()), [[0, 0, 0]]);
    assert_eq!(recording.image_at(flushed).page_bytes(0), None);
}

#[test]
fn a_write_durable_by_itself_stays_and_takes_no_other_with_it() {
    let bench = Bench::new();
    bench.write(0, 1);
    bench.write(1, 2);
    bench.ask(Request::write(0, &[3; 4096], true));
    let done = bench.core.arrive();
    let recording = bench.recording();
    assert_eq!(left(&recording, done, &subsets()), [[3, 0, 0], [3, 2, 0]]);
}

#[test]
fn of_overlapping_writes_either_may_be_the_last() {
    let bench = Bench::new();
    bench.ask(Request::write(0, &[1; 8192], false));
    bench.ask(Request::write(PAGE, &[2; 8192], false));
    let last = bench.core.arrive();
    let recording = bench.recording();
    let sampling = Sampling {
        reordered: 1,
        ..Sampling::prefixes()
    };
    let left = left(&recording, last, &sampling);
    assert_eq!(left, [[0, 0, 0], [1, 1, 0], [1, 1, 2], [1, 2, 2]]);
}

#[test]
fn a_write_is_torn_between_sectors_and_not_in_pages_that_are_spared() {
    let bench = Bench::new();
    bench.write(0, 1);
    let last = bench.write(1, 2);
    let recording = bench.recording();
    let sampling = Sampling {
        torn: 40,
        untorn_pages: vec![1],
        ..Sampling::prefixes()
    };
    let crashes = Crashes::at(&recording, last, &sampling);
    let mut torn = 0;
    for state in crashes.states() {
        let image = crashes.image(&state.outcome).expect("of this recording");
        let page = image.page_bytes(0).unwrap_or(&[0; 4096]);
        let mut sectors = page.chunks(512);
        assert!(sectors.all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        torn += usize::from(page.contains(&0) && page.contains(&1));
        let spared = image.page_bytes(1).unwrap_or(&[0; 4096]);
        assert!(spared.iter().all(|byte| *byte == spared[0]));
    }
    assert!(torn > 10, "{torn} ways to tear it");
}

#[test]
fn one_image_comes_with_every_index_at_which_it_can_be_left() {
    let bench = Bench::new();
    let first = bench.write(0, 1);
    let flushed = bench.flush();
    let second = bench.write(1, 2);
    let recording = bench.recording();
    let crashes = Crashes::new(&recording, &subsets());
    let one = recording.image_at(first).fingerprint();
    let state = crashes
        .states()
        .iter()
        .find(|state| state.fingerprint == one);
    let state = state.expect("the first write alone");
    let possible = (100..=second).filter(|index| state.is_possible_at(*index));
    assert_eq!(possible.collect::<Vec<_>>(), [first, flushed, second]);
    assert_eq!(state.index(), second);
    assert!(crashes.has_all_subsets());
}
