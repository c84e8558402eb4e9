//! Opening: recovery of a large log that was closed.
//!
//! - `read` copies the frames into memory and looks at nothing; `scan` checks and decodes them there.
//! - `open` is [`groupwal::Wal::open`]: it does both, writes the last frame again and syncs it.
//! - `cold`: the page cache is told to forget the files before each turn.
//!
//! ```text
//! cargo bench --bench open -- [--engine NAME] [--rounds N] [--entries N]
//! ```
//!
//! `BENCH_JSON=DIR` writes `DIR/open.json`.

#[path = "rig/mod.rs"]
mod rig;

use clap::Parser;
use groupwal::{Options, Wal};

use crate::rig::log_image::{LogImage, scan_all};
use crate::rig::workload::now;
use crate::rig::{Engine, Place, Report, Row, is_measuring, median, runtime};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "auto")]
    engine: Engine,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[arg(long, default_value_t = 400_000)]
    entries: usize,
    /// Given by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut arguments = Arguments::parse();
    if !is_measuring() {
        (arguments.rounds, arguments.entries) = (1, 2000);
    }
    let place = Place::new();
    let runtime = runtime();
    let mut report = Report::new("open", place.file_system());
    let mut image = runtime.block_on(LogImage::create(
        &place.dir("open"),
        arguments.entries,
        1000,
    ));
    let loaded = image.load();
    let options = Options::default()
        .engine(arguments.engine.kind)
        .io_driver(true);
    let gigabytes = image.bytes() as f64 / 1e9;
    for (warmth, rounds) in [
        ("warm", arguments.rounds),
        ("cold", arguments.rounds.div_ceil(3)),
    ] {
        let names = ["read", "scan", "open"];
        let mut times = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            for (contestant, times) in times.iter_mut().enumerate() {
                if warmth == "cold" {
                    image.chill();
                }
                let begin = now();
                let opened = match contestant {
                    0 => {
                        image.read();
                        None
                    }
                    1 => {
                        assert_eq!(scan_all(&loaded), image.entries);
                        None
                    }
                    _ => Some(runtime.block_on(Wal::open(&image.dir, options.clone()))),
                };
                let spent = begin.elapsed();
                if let Some(wal) = opened {
                    let wal = wal.expect("the log opens");
                    assert_eq!(wal.durable_seq(), image.entries as u64);
                }
                // The first round warms up.
                if round > 0 {
                    times.push(spent.as_secs_f64());
                }
            }
        }
        let read = median(&times[0]);
        for (name, times) in names.iter().zip(&times) {
            let time = median(times);
            let row = Row::new(format!("{warmth}: {name}"))
                .with("ms", 1e3 * time)
                .with("GB/s", gigabytes / time)
                .with("of the read", time / read);
            report.push(row);
        }
    }
    report.finish();
}
