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

#[path = "rig/mod.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use crate::rig::closed_loop::Turns;
use crate::rig::floor::{Locked, Switch, rotating_in_memory};
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
        let locked = Arc::new(Locked::default());
        let logs: Vec<_> = arguments
            .engine
            .iter()
            .map(|engine| rotating_in_memory(&runtime, engine.kind))
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
