//! The project's targets, each measured as a ratio within one run.
//!
//! A disk's speed drifts by a quarter from minute to minute, so two means that were taken one after
//! the other say little about each other. Here the contestants take turns, round by round, and the
//! medians over all rounds are compared.

use std::sync::Arc;
use std::time::Duration;

use groupwal::{EngineKind, SyncPolicy};
use tokio::runtime::Runtime;

use crate::rig::article::{self, SYNC_ON_BATCH};
use crate::rig::floor::{Nothing, Switch, in_memory};
use crate::rig::workload::{burst, lone};
use crate::rig::{Place, Report, Row, bare};

const ROUNDS: usize = 15;
/// Fast contestants get several turns a round.
const FAST_BURSTS: usize = 5;
const LONE_APPENDS: usize = 200;

/// Durations of one contestant.
struct Series {
    name: &'static str,
    durations: Vec<Duration>,
}

impl Series {
    fn new(name: &'static str) -> Self {
        let durations = Vec::new();
        Self { name, durations }
    }

    /// Adds one round's measurements, unless they do not count.
    fn take(&mut self, counts: bool, measure: impl FnOnce() -> Vec<Duration>) {
        let durations = measure();
        if counts {
            self.durations.extend(durations);
        }
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    fn median(&self) -> Duration {
        self.percentile(50)
    }

    fn row(&self) -> Row {
        let milliseconds = |percent| 1e3 * self.percentile(percent).as_secs_f64();
        Row::new(self.name)
            .with("p10 ms", milliseconds(10))
            .with("p50 ms", milliseconds(50))
            .with("p90 ms", milliseconds(90))
    }

    fn print(&self) {
        let milliseconds = |percent| 1e3 * self.percentile(percent).as_secs_f64();
        println!(
            "{:<28} {:>9.3} {:>9.3} {:>9.3}   ({})",
            self.name,
            milliseconds(10),
            milliseconds(50),
            milliseconds(90),
            self.durations.len(),
        );
    }
}

fn repeat(count: usize, measure: impl FnMut() -> Duration) -> Vec<Duration> {
    std::iter::repeat_with(measure).take(count).collect()
}

enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

fn print_ratio(over: &Series, under: &Series, target: &Target) {
    let ratio = over.median().as_secs_f64() / under.median().as_secs_f64();
    let (bound, met) = match target {
        Target::AtLeast(least) => (format!(">= {least}"), ratio >= *least),
        Target::AtMost(most) => (format!("<= {most}"), ratio <= *most),
        Target::None => (String::new(), true),
    };
    let name = format!("{} / {}", over.name, under.name);
    let missed = if met { "" } else { "   MISSED" };
    println!("{name:<48} {ratio:>8.2}   {bound}{missed}");
}

/// Measures and prints everything.
pub(crate) fn print(place: &Place, runtime: &Runtime) {
    let adaptive = place.open(runtime, "ratios/adaptive", SyncPolicy::Adaptive);
    let on_write = article::SyncOnWrite::open(&place.dir("ratios/article-sync-on-write"));
    let on_write = Arc::new(on_write);
    let (followers_max, timeout) = SYNC_ON_BATCH;
    let dir = place.dir("ratios/article-sync-on-batch");
    let on_batch = Arc::new(article::SyncOnBatch::open(&dir, followers_max, timeout));
    let mut prewritten = bare::Prewritten::create(&place.dir("ratios"));
    let mut growing = bare::Growing::create(&place.dir("ratios"));

    let memory = in_memory(runtime, EngineKind::Inline);
    let (nothing, switch) = (Arc::new(Nothing), Arc::new(Switch));

    let mut nothings = Series::new("tasks that do nothing");
    let mut switches = Series::new("tasks that encode and yield");
    let mut memories = Series::new("adaptive, log in memory");
    let mut limits = Series::new("limit");
    let mut adaptives = Series::new("adaptive");
    let mut on_batches = Series::new("article-sync-on-batch");
    let mut on_writes = Series::new("article-sync-on-write");
    let mut lone_prewritten = Series::new("lone/fdatasync-prewritten");
    let mut lone_growing = Series::new("lone/fdatasync-append");
    let mut lone_adaptive = Series::new("lone/adaptive");
    for round in 0..=ROUNDS {
        // Round 0 warms up and does not count.
        let counts = round > 0;
        limits.take(counts, || repeat(FAST_BURSTS, || prewritten.burst()));
        adaptives.take(counts, || {
            repeat(FAST_BURSTS, || runtime.block_on(burst(&adaptive)))
        });
        nothings.take(counts, || {
            repeat(FAST_BURSTS, || runtime.block_on(burst(&nothing)))
        });
        switches.take(counts, || {
            repeat(FAST_BURSTS, || runtime.block_on(burst(&switch)))
        });
        memories.take(counts, || {
            repeat(FAST_BURSTS, || runtime.block_on(burst(&memory)))
        });
        on_batches.take(counts, || repeat(1, || runtime.block_on(burst(&on_batch))));
        on_writes.take(counts, || repeat(1, || runtime.block_on(burst(&on_write))));
        lone_prewritten.take(counts, || repeat(LONE_APPENDS, || prewritten.lone()));
        lone_growing.take(counts, || repeat(LONE_APPENDS, || growing.lone()));
        lone_adaptive.take(counts, || runtime.block_on(lone(&adaptive, LONE_APPENDS)));
    }

    println!("\nInterleaved, {ROUNDS} rounds, on {}", place.file_system());
    let (p10, p50, p90) = ("p10 ms", "p50 ms", "p90 ms");
    println!("{:<28} {p10:>9} {p50:>9} {p90:>9}   (samples)", "");
    let mut report = Report::new("insertion", place.file_system());
    for series in [
        &nothings,
        &switches,
        &memories,
        &limits,
        &adaptives,
        &on_batches,
        &on_writes,
        &lone_prewritten,
        &lone_growing,
        &lone_adaptive,
    ] {
        series.print();
        report.push(series.row());
    }
    if lone_prewritten.percentile(90) > 3 * lone_prewritten.percentile(10) {
        println!("These figures are not to be trusted: others used the processors or the disk.");
    }
    println!("\n{:<48} {:>8}   target", "ratio of medians", "");
    print_ratio(&adaptives, &limits, &Target::AtMost(3.2));
    print_ratio(&on_batches, &adaptives, &Target::AtLeast(7.0));
    print_ratio(&on_writes, &adaptives, &Target::AtLeast(130.0));
    print_ratio(&lone_adaptive, &lone_growing, &Target::AtMost(1.5));
    print_ratio(&lone_adaptive, &lone_prewritten, &Target::None);

    // One step after another: what each adds to a burst.
    println!("\n{:<48} {:>8}", "where a burst's time goes", "ms");
    let steps = [&nothings, &switches, &memories, &adaptives];
    let names = [
        "spawning and joining",
        "encoding, and waiting once",
        "coordination: groups, and waking their members",
        "the disk",
    ];
    let mut before = 0.0;
    for (name, series) in names.iter().zip(steps) {
        let reached = 1e3 * series.median().as_secs_f64();
        println!("{name:<48} {:>8.3}", reached - before);
        before = reached;
    }
    report.write_json();
}
