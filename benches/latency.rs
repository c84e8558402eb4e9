//! Latency: writers append in a closed loop, each again as soon as it has its acknowledgement.
//!
//! For each number of writers, in turns:
//! - `limit`: one thread writes and syncs the entries of all writers at once, over and over, without
//!   Tokio or a log;
//! - each policy with each engine, in a segment with room for the whole turn, and again *rotating*
//!   through small segments that are trimmed meanwhile, so that more than one append in a thousand
//!   meets a rotation;
//! - the article's write group and its sync-on-write.
//!
//! `CPU us` is the processor time of the whole process for each append.
//!
//! ```text
//! cargo bench --bench latency -- [--engine NAME,..] [--policy NAME,..] [--writers N,..]
//!                                [--rounds N] [--seconds S]
//! ```
//!
//! `BENCH_JSON=DIR` writes `DIR/latency.json`, from which `cargo bench --bench plot` draws.

#[path = "rig/mod.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use groupwal::{Options, SyncPolicy, Wal};
use tokio::runtime::Runtime;

use crate::rig::article::{SYNC_BACKGROUND, SYNC_ON_BATCH, SyncOnBatch, SyncOnWrite};
use crate::rig::bare::{BLOCK_BYTES, ENTRY_BYTES, Prewritten};
use crate::rig::closed_loop::Turns;
use crate::rig::group_wal::{BATCH, GroupWal, Rotating};
use crate::rig::workload::Store;
use crate::rig::{Engine, Place, Report, is_measuring, runtime};

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_delimiter = ',', default_value = "uring,blocking,inline")]
    engine: Vec<Engine>,
    #[arg(long, value_delimiter = ',', default_value = "adaptive")]
    policy: Vec<Policy>,
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512")]
    writers: Vec<usize>,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Given by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    Adaptive,
    EveryWrite,
    Background,
    Batch,
}

impl Policy {
    fn options(self) -> Options {
        Options::default().io_driver(true).policy(match self {
            Self::Adaptive => SyncPolicy::Adaptive,
            Self::EveryWrite => SyncPolicy::EveryWrite,
            Self::Background => SyncPolicy::Background {
                interval: SYNC_BACKGROUND,
            },
            Self::Batch => BATCH,
        })
    }
}

/// Big enough for a turn, with as much to spare.
const STEADY_SEGMENT_BYTES: u64 = 512 << 20;

/// So small that a segment holds about 500 groups of all writers' entries.
fn rotating_segment_bytes(writers: usize) -> u64 {
    let frame = (writers * ENTRY_BYTES).next_multiple_of(BLOCK_BYTES) as u64;
    (500 * frame).next_power_of_two().min(64 << 20)
}

struct Contestant {
    name: String,
    store: AnyStore,
    turns: Turns,
}

enum AnyStore {
    Steady(Arc<GroupWal>),
    Rotating(Arc<Rotating>),
    OnBatch(Arc<SyncOnBatch>),
    OnWrite(Arc<SyncOnWrite>),
}

impl Contestant {
    fn new(name: String, store: AnyStore) -> Self {
        let turns = Turns::default();
        Self { name, store, turns }
    }

    fn take_turn(&mut self, counts: bool, runtime: &Runtime, writers: usize, time: Duration) {
        fn take<S: Store>(
            turns: &mut Turns,
            store: &Arc<S>,
            (counts, runtime, writers, time): (bool, &Runtime, usize, Duration),
        ) {
            turns.take(counts, runtime, store, writers, time);
        }
        let rest = (counts, runtime, writers, time);
        match &self.store {
            AnyStore::Steady(store) => take(&mut self.turns, store, rest),
            AnyStore::Rotating(store) => take(&mut self.turns, store, rest),
            AnyStore::OnBatch(store) => take(&mut self.turns, store, rest),
            AnyStore::OnWrite(store) => take(&mut self.turns, store, rest),
        }
    }
}

fn contestants(
    arguments: &Arguments,
    place: &Place,
    runtime: &Runtime,
    writers: usize,
) -> Vec<Contestant> {
    let mut all = Vec::new();
    let open = |name: &str, options: Options| {
        let dir = place.dir(&format!("{writers}/{name}"));
        runtime
            .block_on(Wal::open(dir, options))
            .expect("the log opens")
    };
    for policy in &arguments.policy {
        for engine in &arguments.engine {
            let policy_name = policy.to_possible_value().expect("none is skipped");
            let name = format!("{}/{}", policy_name.get_name(), engine.name);
            let options = policy.options().engine(engine.kind);
            let steady = open(&name, options.clone().segment_bytes(STEADY_SEGMENT_BYTES));
            let room = STEADY_SEGMENT_BYTES / 2;
            let steady = GroupWal::new(steady, STEADY_SEGMENT_BYTES, room);
            let steady = AnyStore::Steady(Arc::new(steady));
            let small = rotating_segment_bytes(writers);
            let options = options
                .segment_bytes(small)
                .entry_bytes_max(64 << 10)
                .group_bytes_max(1 << 20);
            let rotating = Rotating::new(open(&format!("{name}-rotating"), options), runtime);
            let rotating = AnyStore::Rotating(Arc::new(rotating));
            all.push(Contestant::new(format!("{name}, rotating"), rotating));
            all.push(Contestant::new(name, steady));
        }
    }
    let (followers_max, timeout) = SYNC_ON_BATCH;
    let dir = place.dir(&format!("{writers}/on-batch"));
    let on_batch = SyncOnBatch::open(&dir, followers_max, timeout);
    let on_batch = AnyStore::OnBatch(Arc::new(on_batch));
    all.push(Contestant::new("article, write group".into(), on_batch));
    let dir = place.dir(&format!("{writers}/on-write"));
    let on_write = AnyStore::OnWrite(Arc::new(SyncOnWrite::open(&dir)));
    all.push(Contestant::new("article, sync-on-write".into(), on_write));
    all
}

fn main() {
    let mut arguments = Arguments::parse();
    if !is_measuring() {
        (arguments.rounds, arguments.seconds, arguments.writers) = (1, 0.01, vec![8]);
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    let place = Place::new();
    let runtime = runtime();
    let mut report = Report::new("latency", place.file_system());
    for &writers in &arguments.writers {
        let mut limit = Prewritten::create(&place.dir(&format!("{writers}/limit")));
        let mut limits = Turns::default();
        let mut contestants = contestants(&arguments, &place, &runtime, writers);
        for round in 0..=arguments.rounds {
            // Round 0 warms up and does not count.
            let counts = round > 0;
            limits.take_alone(counts, writers, time, || limit.group(writers));
            for contestant in &mut contestants {
                contestant.take_turn(counts, &runtime, writers, time);
            }
        }
        let limit = limits.rate();
        report.push(limits.row("limit".into(), writers, limit));
        for Contestant { name, turns, .. } in contestants {
            report.push(turns.row(name, writers, limit));
        }
    }
    report.finish();
}
