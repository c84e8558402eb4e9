//! `kill` for a black box: SIGKILL at a random instant, generation after generation on one
//! directory.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::BlackBox;
use super::channel::Channel;
use super::checker::{Checker, broken};
use super::failure::{Record, WRITER_GARBAGE, WRITER_HANGS, WRITER_STOPPED};
use super::keeper::{Kept, Order};
use super::oracle::BlackBoxOracle;
use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::scratch::{copy_dir, remove_dir};
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: u32 = 12;
/// From its first word on, a writer lives no longer than this.
const LIFE_MAX: Duration = Duration::from_millis(250);
/// The instants that are spread over time lie no later than this after the first word.
const SPREAD: Duration = Duration::from_millis(40);

/// One directory after another, killed again and again. Its plan depends on its seed only.
pub(crate) struct Lane<'a> {
    store: &'a BlackBox,
    plan: &'a Plan,
    dir: PathBuf,
    evidence: PathBuf,
    checker: Checker<'a>,
    rng: ChaCha8Rng,
    oracle: BlackBoxOracle,
    begun: bool,
    /// How long the last writer took to its first word, and the last checker in all: programs differ
    /// by orders of magnitude.
    first_word: Duration,
    check_time: Duration,
}

/// A writer that is no more.
struct Written {
    seed: u64,
    events: Vec<Event>,
    trouble: Option<Violation>,
    killed: bool,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        store: &'a BlackBox,
        plan: &'a Plan,
        dir: PathBuf,
        evidence: PathBuf,
        rng: ChaCha8Rng,
    ) -> Self {
        let checker = Checker {
            store,
            launcher: plan.launcher.clone(),
            hang_limit: plan.hang_limit,
        };
        Self {
            store,
            plan,
            dir,
            evidence,
            checker,
            rng,
            oracle: BlackBoxOracle::default(),
            begun: false,
            first_word: Duration::ZERO,
            check_time: Duration::ZERO,
        }
    }

    /// One generation: write, kill, recover, check. Counts what it did in `tally`.
    pub(super) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        if !self.begun || self.oracle.generation >= GENERATIONS {
            remove_dir(&self.dir)?;
            fs::create_dir_all(&self.dir)?;
            self.oracle = BlackBoxOracle::default();
            self.begun = true;
        }
        let written = self.write_until_killed()?;
        remove_dir(&self.evidence)?;
        copy_dir(&self.dir, &self.evidence)?;
        tally.count_round(&written.events);
        *tally.engines.entry("default".to_owned()).or_default() += 1;
        let verdict = match written.trouble.clone() {
            Some(violation) => Err(violation),
            None => self.recover_and_check(&written.events, tally)?,
        };
        match verdict {
            Ok(survivors) => {
                self.oracle.advance(&written.events, &survivors);
                Ok(None)
            }
            Err(violation) => {
                tally.violated(&violation);
                self.begun = false;
                Ok(Some(self.finding(written, violation)))
            }
        }
    }

    fn finding(&self, written: Written, violation: Violation) -> Finding {
        let names = &self.oracle.names;
        let (generation, lines) = (self.oracle.generation, written.events.len());
        let record = Record::new(self.store, generation, written.seed, &written.events, names);
        Finding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject: self.store.name().to_owned(),
            engine: "default".to_owned(),
            crash: CrashKind::Kill,
            seed: self.plan.seed,
            crash_point: if written.killed {
                format!("SIGKILL after {lines} lines")
            } else {
                format!("it ended by itself after {lines} lines")
            },
            violation,
            oracle: self.oracle.save(),
            workloads: Vec::new(),
            script: Vec::new(),
            events: written.events,
            image: self.evidence.clone(),
            timeline: None,
            disk: None,
            tale: None,
            black_box: Some(record),
        }
    }

    /// Runs a writer and kills it at an instant drawn from the seed.
    fn write_until_killed(&mut self) -> io::Result<Written> {
        let channel = Channel::open()?;
        let seed = self.rng.random();
        // Some instants hit the start, half are spread over time, the others lie a little after some
        // line, so that work is hit.
        let (lines, wait) = match self.rng.random_range(0..8) {
            0 => (0, self.up_to(self.first_word)),
            1..=3 => (1, self.up_to(SPREAD)),
            _ => {
                let magnitude = self.rng.random_range(0..10);
                let lines = self.rng.random_range(1..2_usize << magnitude);
                (lines, self.up_to(Duration::from_micros(300)))
            }
        };
        let generation = self.oracle.generation;
        let order = Order::write(self.store, &self.dir, &channel, generation, seed);
        let mut writer = Kept::start(&self.plan.launcher, &order)?;
        let hangs = !self.wait_for_lines(&channel, &mut writer, lines)?;
        if !hangs {
            std::thread::sleep(wait);
        }
        let outcome = writer.end()?;
        let flooded = channel.is_flooded();
        let said = channel.said()?;
        let (events, garbage) = match self.oracle.names.events_of(generation, &said.bytes) {
            Ok(events) => (events.into_iter().map(|(_, event)| event).collect(), None),
            Err(line) => (Vec::new(), Some(format!("{}: {line}", said.place()))),
        };
        let trouble = if let Some(garbage) = garbage {
            Some(broken(WRITER_GARBAGE, &garbage))
        } else if let Some(trouble) = outcome.trouble()? {
            Some(broken(WRITER_STOPPED, &trouble))
        } else if flooded {
            Some(broken(WRITER_GARBAGE, "it prints without end"))
        } else if hangs {
            let seconds = self.plan.hang_limit.as_secs_f32();
            let detail = format!("no word, and no end after {seconds} s: {}", outcome.stderr);
            Some(broken(WRITER_HANGS, &detail))
        } else {
            None
        };
        Ok(Written {
            seed,
            events,
            trouble,
            killed: outcome.killed,
        })
    }

    /// Waits until so many lines were heard, or the writer has lived long enough, or has ended.
    /// Tells whether it is in order: `false` if it does not say a word.
    fn wait_for_lines(
        &mut self,
        channel: &Channel,
        writer: &mut Kept,
        lines: usize,
    ) -> io::Result<bool> {
        let started = Instant::now();
        let mut first_word = None;
        while lines > 0 && !channel.has_lines(lines)? {
            if writer.is_over()? || channel.is_flooded() {
                break;
            }
            if first_word.is_none() && channel.has_lines(1)? {
                first_word = Some(started.elapsed());
            }
            match first_word {
                Some(at) if started.elapsed() > at + LIFE_MAX => break,
                None if started.elapsed() > self.plan.hang_limit => return Ok(false),
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
        if lines > 0 {
            self.first_word = first_word.unwrap_or(started.elapsed());
        }
        Ok(true)
    }

    fn up_to(&mut self, max: Duration) -> Duration {
        max.mul_f64(self.rng.random())
    }

    /// Recovers, checks, and on a sample recovers again.
    fn recover_and_check(
        &mut self,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        if self.rng.random_bool(0.125) {
            let after = self.up_to(self.check_time);
            self.checker.be_killed(&self.dir, after)?;
            tally.recoveries_killed += 1;
        }
        let started = Instant::now();
        let recovered = self.checker.recover(&self.dir, &mut self.oracle.names)?;
        self.check_time = started.elapsed();
        let survivors = match recovered {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(Err(violation)),
        };
        tally.crash_states += 1;
        tally.recovered += survivors.len() as u64;
        if let Err(violation) = self.oracle.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.125) {
            tally.second_recoveries += 1;
            let names = &mut self.oracle.names;
            if let Err(violation) = self.checker.recover_again(&self.dir, names, &survivors)? {
                return Ok(Err(violation));
            }
        }
        Ok(Ok(survivors))
    }
}
