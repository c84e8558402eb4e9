//! Insertion: a thousand tasks each make one entry durable, as in the article's benchmark.
//!
//! - `insertion/*/1000`: the time from the first spawn to the last acknowledgement, on one open log
//!   over all iterations. `article-*` is the baseline, [the article's own code path](rig::article);
//!   `every-write`, `background` and `batch` are the same three policies in this crate; `adaptive`
//!   is its default; `limit` is what the disk takes for the same bytes.
//! - `lone/*`: one task, one entry at a time, against a bare write and sync.
//!
//! `cargo bench --bench insertion` ends with a table of ratios that were measured in turns, which
//! is what to compare between machines; `cargo bench --bench insertion -- ratios` prints it alone.
//!
//! The files lie in Cargo's target directory. That must be on a real disk: on a tmpfs a sync costs
//! nothing, and nothing here means anything.

#[path = "insertion/ratios.rs"]
mod ratios;
#[path = "rig/mod.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use groupwal::SyncPolicy;
use tokio::runtime::Runtime;

use crate::rig::article::{self, SYNC_BACKGROUND, SYNC_ON_BATCH};
use crate::rig::group_wal::BATCH;
use crate::rig::workload::{Store, TASKS, burst, lone};
use crate::rig::{Place, bare, runtime};

/// Bounds a series of slow bursts: so many samples, and about so much time.
fn pace(group: &mut BenchmarkGroup<'_, WallTime>, samples: usize, time: Duration) {
    group
        .sample_size(samples)
        .warm_up_time(time.min(Duration::from_millis(500)))
        .measurement_time(time);
}

fn bench_bursts<S: Store>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    open: impl Fn(&str) -> Arc<S>,
) {
    // Opened only if it is measured at all: a filter may leave it out.
    let mut store = None;
    group.bench_function(BenchmarkId::new(name, TASKS), |bencher| {
        let store = store.get_or_insert_with(|| open(name));
        bencher.to_async(runtime).iter_custom(|iterations| {
            let store = Arc::clone(store);
            async move {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    total += burst(&store).await;
                }
                total
            }
        });
    });
}

fn insertion(criterion: &mut Criterion, place: &Place, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("insertion");
    group
        .throughput(Throughput::Elements(TASKS as u64))
        .sampling_mode(SamplingMode::Flat);

    pace(&mut group, 10, Duration::from_secs(2));
    bench_bursts(&mut group, runtime, "article-sync-on-write", |name| {
        Arc::new(article::SyncOnWrite::open(&place.dir(name)))
    });
    bench_bursts(&mut group, runtime, "article-sync-background", |name| {
        let dir = place.dir(name);
        Arc::new(article::SyncBackground::open(&dir, SYNC_BACKGROUND))
    });
    pace(&mut group, 20, Duration::from_secs(3));
    bench_bursts(&mut group, runtime, "article-sync-on-batch", |name| {
        let (followers_max, timeout) = SYNC_ON_BATCH;
        let dir = place.dir(name);
        Arc::new(article::SyncOnBatch::open(&dir, followers_max, timeout))
    });

    let background = SyncPolicy::Background {
        interval: SYNC_BACKGROUND,
    };
    pace(&mut group, 10, Duration::from_secs(2));
    bench_bursts(&mut group, runtime, "every-write", |name| {
        place.open(runtime, name, SyncPolicy::EveryWrite)
    });
    bench_bursts(&mut group, runtime, "background", |name| {
        place.open(runtime, name, background)
    });
    pace(&mut group, 20, Duration::from_secs(3));
    bench_bursts(&mut group, runtime, "batch", |name| {
        place.open(runtime, name, BATCH)
    });
    // These two write up to two gigabytes a second: short series, so that whatever comes after finds
    // the disk as they did.
    pace(&mut group, 20, Duration::from_secs(1));
    bench_bursts(&mut group, runtime, "adaptive", |name| {
        place.open(runtime, name, SyncPolicy::Adaptive)
    });

    pace(&mut group, 20, Duration::from_millis(300));
    let mut prewritten = None;
    group.bench_function(BenchmarkId::new("limit", TASKS), |bencher| {
        let file = prewritten.get_or_insert_with(|| bare::Prewritten::create(&place.dir("limit")));
        bencher.iter_custom(|iterations| (0..iterations).map(|_| file.burst()).sum());
    });
    group.finish();
}

fn lone_writer(criterion: &mut Criterion, place: &Place, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("lone");
    group.sampling_mode(SamplingMode::Flat);
    pace(&mut group, 20, Duration::from_secs(1));

    let mut store = None;
    group.bench_function("adaptive", |bencher| {
        let store =
            store.get_or_insert_with(|| place.open(runtime, "lone-adaptive", SyncPolicy::Adaptive));
        bencher.to_async(runtime).iter_custom(|iterations| {
            let store = Arc::clone(store);
            let count = usize::try_from(iterations).expect("few enough to be measured");
            async move { lone(&store, count).await.iter().sum() }
        });
    });
    let mut growing = None;
    group.bench_function("fdatasync-append", |bencher| {
        let file = growing.get_or_insert_with(|| bare::Growing::create(&place.dir("lone")));
        bencher.iter_custom(|iterations| (0..iterations).map(|_| file.lone()).sum());
    });
    let mut prewritten = None;
    group.bench_function("fdatasync-prewritten", |bencher| {
        let file = prewritten.get_or_insert_with(|| bare::Prewritten::create(&place.dir("lone")));
        bencher.iter_custom(|iterations| (0..iterations).map(|_| file.lone()).sum());
    });
    group.finish();
}

/// Whether the table of ratios is wanted: when measuring, everything or just that.
fn wants_ratios() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'));
    let is_wanted = |filter: &String| filter == "ratios";
    let only_runs = |argument: &String| argument == "--test" || argument == "--list";
    // Cargo says `--bench` when it measures, and nothing when it only tests that benches run.
    arguments.iter().any(|argument| argument == "--bench")
        && !arguments.iter().any(only_runs)
        && filters.into_iter().all(is_wanted)
}

fn main() {
    let place = Place::new();
    let runtime = runtime();
    eprintln!("files on {}", place.file_system());

    let mut criterion = Criterion::default().configure_from_args();
    lone_writer(&mut criterion, &place, &runtime);
    insertion(&mut criterion, &place, &runtime);
    criterion.final_summary();
    if wants_ratios() {
        ratios::print(&place, &runtime);
    }
}
