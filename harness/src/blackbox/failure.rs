//! What is kept of a black box's failure, told and checked again.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::checker::{Checker, broken};
use super::keeper::{Kept, Order};
use super::oracle::BlackBoxOracle;
use super::protocol::Names;
use super::{BlackBox, command_for};
use crate::child::Launcher;
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::{Oracle, Violation};
use crate::plan::HANG_LIMIT;
use crate::scratch::copy_dir;

/// The stages of a [`Violation::Broken`] that are the writer's.
pub(super) const WRITER_STOPPED: &str = "the writer stopped by itself";
pub(super) const WRITER_GARBAGE: &str = "the writer does not keep to the protocol";
pub(super) const WRITER_HANGS: &str = "the writer hangs";

/// How long a writer is watched when its own failure is checked again.
const WATCH: Duration = Duration::from_secs(2);
/// The last words that are told.
const LINES_SHOWN: usize = 12;

/// What a finding of a black box has besides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) store: BlackBox,
    /// `PLUGPULL_GENERATION` and `PLUGPULL_SEED` of the failed generation.
    pub(super) generation: u32,
    pub(super) writer_seed: u64,
    /// What the failed generation had said by then.
    pub(super) said: Vec<String>,
}

impl Record {
    pub(super) fn new(
        store: &BlackBox,
        generation: u32,
        writer_seed: u64,
        events: &[Event],
        names: &Names,
    ) -> Self {
        Self {
            store: store.clone(),
            generation,
            writer_seed,
            said: events.iter().map(|event| names.line(event)).collect(),
        }
    }

    /// What happened, in words.
    pub(crate) fn story(&self, finding: &Finding) -> String {
        let count = |word: &str| {
            self.said
                .iter()
                .filter(|line| line.starts_with(word))
                .count()
        };
        let first = self.said.len().saturating_sub(LINES_SHOWN);
        let mut last = String::new();
        for line in &self.said[first..] {
            writeln!(last, "    {line}").expect("a string takes everything");
        }
        if last.is_empty() {
            last.push_str("    (it had said nothing)\n");
        }
        format!(
            "# {violation}\n\n\
             - writer: `{cmd}`\n\
             - checker: `{check}`\n\
             - crash: `{crash}`, {point}\n\
             - generation {generation} of its directory (PLUGPULL_GENERATION={generation} \
             PLUGPULL_SEED={writer_seed}): {tried} attempts, {acked} acknowledged\n\
             - seed {seed}, plugpull {version}\n\n\
             `image/` is the store as the crash left it, before a checker touched it. Look at it with\n\
             the checker (it may change what it looks at: take a copy):\n\n    \
             cp -a image copy && {look}\n\n\
             The commands run where the torture was started. The writer's last words before the\n\
             crash, of {lines} lines:\n\n{last}\n\
             What had been announced and what earlier recoveries had shown is in `failure.json`.\n",
            violation = finding.violation,
            cmd = self.store.cmd,
            check = self.store.check,
            crash = finding.crash,
            point = finding.crash_point,
            generation = self.generation,
            writer_seed = self.writer_seed,
            tried = count("attempt "),
            acked = count("ack "),
            seed = finding.seed,
            version = finding.version,
            look = command_for(&self.store.check, Path::new("copy")),
            lines = self.said.len(),
        )
    }
}

/// Checks a finding again: recovers a copy of its image by the checker and asks the oracle. If it
/// was the writer that failed, lets it write once more.
pub(crate) fn replay(
    record: &Record,
    finding: &Finding,
    scratch: &Path,
) -> io::Result<Result<(), Violation>> {
    let dir = scratch.join("replay");
    copy_dir(&finding.image, &dir)?;
    let mut oracle = BlackBoxOracle::default();
    oracle.restore(finding.oracle.clone())?;
    if let Violation::Broken { stage, .. } = &finding.violation
        && [WRITER_STOPPED, WRITER_GARBAGE, WRITER_HANGS].contains(&stage.as_str())
    {
        return write_again(record, &dir);
    }
    let checker = Checker {
        store: &record.store,
        launcher: Launcher::Binary,
        hang_limit: HANG_LIMIT,
    };
    let survivors = match checker.recover(&dir, &mut oracle.names)? {
        Ok(survivors) => survivors,
        Err(violation) => return Ok(Err(violation)),
    };
    if let Err(violation) = oracle.check(&finding.events, &survivors) {
        return Ok(Err(violation));
    }
    checker.recover_again(&dir, &mut oracle.names, &survivors)
}

fn write_again(record: &Record, dir: &Path) -> io::Result<Result<(), Violation>> {
    let channel = Channel::open()?;
    let (generation, seed) = (record.generation, record.writer_seed);
    let order = Order::write(&record.store, dir, &channel, generation, seed);
    let mut writer = Kept::start(&Launcher::Binary, &order)?;
    let started = Instant::now();
    while !writer.is_over()? && started.elapsed() < WATCH && !channel.is_flooded() {
        channel.hear()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let outcome = writer.end()?;
    let said = channel.said()?;
    // Its ids may be those that the failed run had used: only its own words count here.
    if let Err(line) = Names::default().events_of(generation, &said.bytes) {
        let detail = format!("{}: {line}", said.place());
        return Ok(Err(broken(WRITER_GARBAGE, &detail)));
    }
    Ok(match outcome.trouble()? {
        Some(trouble) => Err(broken(WRITER_STOPPED, &trouble)),
        None => Ok(()),
    })
}
