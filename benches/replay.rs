//! Replay: a large log is read from front to back.
//!
//! - `scan` is the ceiling: the same bytes in memory, each checksum and each entry decoded once, on
//!   one thread. `read` only copies the files into memory.
//! - `replay/groups` takes a group at a time, `replay/entries` awaits each entry.
//! - `cold`: the page cache is told to forget the files before each turn.
//!
//! ```text
//! cargo bench --bench replay -- [--engine NAME] [--rounds N] [--entries N] [--groups N,..] [--warm]
//! ```
//!
//! `BENCH_JSON=DIR` writes `DIR/replay.json`.

#[path = "rig/mod.rs"]
mod rig;

use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use groupwal::{Options, Wal};

use crate::rig::log_image::{LogImage, scan_all};
use crate::rig::workload::now;
use crate::rig::{Engine, Place, Report, Row, is_measuring, median, processor_time, runtime};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "auto")]
    engine: Engine,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[arg(long, default_value_t = 200_000)]
    entries: usize,
    /// Entries in a group.
    #[arg(long, value_delimiter = ',', default_value = "1000,100,8")]
    groups: Vec<usize>,
    /// Leaves out the cold reads.
    #[arg(long)]
    warm: bool,
    /// Given by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

async fn by_groups(wal: Wal, from: u64) -> usize {
    let mut replay = wal.replay(from);
    let mut shown = 0;
    while let Some(records) = replay.next_group().await.expect("the log can be read") {
        for record in records {
            black_box(record.entry);
            shown += 1;
        }
    }
    shown
}

async fn by_entries(wal: Wal) -> usize {
    let mut replay = wal.replay(0);
    let mut shown = 0;
    while let Some(record) = replay.next().await.expect("the log can be read") {
        black_box(record.entry);
        shown += 1;
    }
    shown
}

fn time(work: impl FnOnce()) -> Duration {
    let begin = now();
    work();
    begin.elapsed()
}

fn main() {
    let mut arguments = Arguments::parse();
    if !is_measuring() {
        (arguments.rounds, arguments.entries) = (1, 2000);
    }
    let place = Place::new();
    let runtime = runtime();
    let mut report = Report::new("replay", place.file_system());
    let warmths = [
        ("warm", arguments.rounds),
        ("cold", arguments.rounds.div_ceil(3)),
    ];
    let warmths = if arguments.warm {
        &warmths[..1]
    } else {
        &warmths
    };
    for &group in &arguments.groups {
        let dir = place.dir(&format!("replay-{group}"));
        // Small groups take a sync each: fewer of them say as much.
        let entries = if group < 100 {
            arguments.entries / 4
        } else {
            arguments.entries
        };
        let mut image = runtime.block_on(LogImage::create(&dir, entries, group));
        let options = Options::default()
            .engine(arguments.engine.kind)
            .io_driver(true);
        let wal = runtime.block_on(Wal::open(&image.dir, options));
        let wal = wal.expect("the log opens");
        let loaded = image.load();
        let entries = image.entries;
        let on_worker = |work: std::pin::Pin<Box<dyn Future<Output = usize> + Send>>| {
            // On a worker thread, where a program's tasks live.
            let shown = runtime.block_on(runtime.spawn(work));
            assert_eq!(shown.expect("a replay does not panic"), entries);
        };
        let gigabytes = image.bytes() as f64 / 1e9;
        for &(warmth, rounds) in warmths {
            let names = ["scan", "read", "replay/groups", "replay/entries"];
            let mut speeds = [const { Vec::new() }; 4];
            let mut processor = [const { Vec::new() }; 4];
            for round in 0..=rounds {
                for (contestant, speeds) in speeds.iter_mut().enumerate() {
                    if warmth == "cold" {
                        image.chill();
                    }
                    let wal = wal.clone();
                    let before = processor_time();
                    let spent = match contestant {
                        0 => time(|| assert_eq!(scan_all(&loaded), entries)),
                        1 => time(|| image.read()),
                        2 => time(|| on_worker(Box::pin(by_groups(wal, 0)))),
                        _ => time(|| on_worker(Box::pin(by_entries(wal)))),
                    };
                    // The first round warms up.
                    if round > 0 {
                        speeds.push(gigabytes / spent.as_secs_f64());
                        let used = processor_time().saturating_sub(before);
                        processor[contestant].push(1e9 * used.as_secs_f64() / entries as f64);
                    }
                }
            }
            let ceiling = median(&speeds[0]);
            for ((name, speeds), processor) in names.iter().zip(&speeds).zip(&processor) {
                let speed = median(speeds);
                let row = Row::new(format!("{warmth}, groups of {group}: {name}"))
                    .with("GB/s", speed)
                    .with("ns/entry", gigabytes * 1e9 / speed / entries as f64)
                    .with("CPU ns/entry", median(processor))
                    .with("of the scan", speed / ceiling);
                report.push(row);
            }
        }
    }
    report.finish();
}
