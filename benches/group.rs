//! Coordination alone: writers in a closed loop on a log in memory, whose syncs are free.
//!
//! - `switch` is the floor: each append encodes its entry and yields to the runtime once.
//! - `mutex`: each append encodes its entry into one buffer under a lock, and waits for nothing.
//! - each engine.
//!
//! ```text
//! cargo bench --bench group -- [--engine NAME,..] [--writers N,..] [--rounds N] [--seconds S]
//! ```
//!
//! `BENCH_JSON=DIR` writes `DIR/group.json`.

#[path = "../tests/support/mem.rs"]
#[allow(dead_code, unreachable_pub)]
mod mem;
#[path = "rig/mod.rs"]
mod rig;

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use groupwal::{Options, Wal};

use crate::mem::MemStorage;
use crate::rig::bare::{ENTRY_BYTES, encode};
use crate::rig::closed_loop::Turns;
use crate::rig::workload::{Document, Rotating, Store};
use crate::rig::{Engine, Report, is_measuring, runtime};

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_delimiter = ',', default_value = "blocking,inline")]
    engine: Vec<Engine>,
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512")]
    writers: Vec<usize>,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Given by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Switch;

impl Store for Switch {
    async fn insert(&self, document: Document) {
        let mut entry = [0; ENTRY_BYTES];
        encode(&document, &mut entry);
        black_box(&entry);
        tokio::task::yield_now().await;
    }
}

struct Locked(Mutex<[u8; ENTRY_BYTES]>);

impl Store for Locked {
    async fn insert(&self, document: Document) {
        {
            let mut entry = self.0.lock().expect("nobody panics");
            encode(&document, &mut *entry);
            black_box(&*entry);
        }
        // Who never waits must let the others in.
        tokio::task::consume_budget().await;
    }
}

fn main() {
    let mut arguments = Arguments::parse();
    if !is_measuring() {
        (arguments.rounds, arguments.seconds, arguments.writers) = (1, 0.01, vec![8]);
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    let runtime = runtime();
    let mut report = Report::new("group", "a log in memory".into());
    for &writers in &arguments.writers {
        let switch = Arc::new(Switch);
        let locked = Arc::new(Locked(Mutex::new([0; ENTRY_BYTES])));
        let logs: Vec<_> = arguments
            .engine
            .iter()
            .map(|engine| {
                let options = Options::default()
                    .engine(engine.kind)
                    .segment_bytes(16 << 20);
                let storage = Arc::new(MemStorage::new(1));
                let wal = runtime.block_on(Wal::open_with(storage, "/log", options));
                let wal = wal.expect("the log opens");
                Arc::new(Rotating::new(wal, &runtime))
            })
            .collect();
        let mut turns: Vec<Turns> = Vec::new();
        turns.resize_with(2 + logs.len(), Turns::default);
        for round in 0..=arguments.rounds {
            // Round 0 warms up and does not count.
            let counts = round > 0;
            let (floors, engines) = turns.split_at_mut(2);
            floors[0].take(counts, &runtime, &switch, writers, time);
            floors[1].take(counts, &runtime, &locked, writers, time);
            for (turns, log) in engines.iter_mut().zip(&logs) {
                turns.take(counts, &runtime, log, writers, time);
            }
        }
        let limit = turns[0].rate();
        let engines = arguments.engine.iter().map(|engine| engine.name);
        for (name, turns) in ["switch", "mutex"].into_iter().chain(engines).zip(turns) {
            report.push(turns.row(name.into(), writers, limit));
        }
    }
    report.finish();
}
