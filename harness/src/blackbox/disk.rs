//! `disk` for a black box: the writer's words, stamped with the device's clock as they are heard.
//!
//! A word is heard a moment after it was said. An acknowledgement that is stamped late is asked for a
//! little later than it could be: that errs towards losing less. An attempt that is stamped late would
//! make its entry a phantom, so attempts count from the beginning of their generation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::BlackBox;
use super::channel::{Channel, Mark};
use super::checker::{Checker, broken};
use super::failure::{Record, WRITER_GARBAGE, WRITER_HANGS, WRITER_STOPPED};
use super::keeper::{Kept, Order};
use super::oracle::BlackBoxOracle;
use crate::child::Launcher;
use crate::crash::CrashKind;
use crate::crash::disk::{Announced, Store, Written};
use crate::disk::Clock;
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::{Oracle, Violation};
use crate::subject::{Subject, Survivor};

/// A writer is killed after so many lines,
const LINES: std::ops::Range<usize> = 4..64;
/// or when it has lived so long after its first word.
const LIFE_MAX: Duration = Duration::from_millis(250);
/// Between two times of listening.
const PAUSE: Duration = Duration::from_micros(50);

/// Two commands, and what is known of their store.
pub(crate) struct DiskStore<'a> {
    store: &'a BlackBox,
    checker: Checker<'a>,
    seed: u64,
    oracle: BlackBoxOracle,
    clock: Arc<AtomicU64>,
    writer_seed: u64,
    /// What the writer of the last generation announced.
    events: Vec<Event>,
}

impl<'a> DiskStore<'a> {
    pub(crate) fn new(
        store: &'a BlackBox,
        launcher: Launcher,
        hang_limit: Duration,
        seed: u64,
    ) -> Self {
        Self {
            store,
            checker: Checker {
                store,
                launcher,
                hang_limit,
            },
            seed,
            oracle: BlackBoxOracle::default(),
            clock: Arc::default(),
            writer_seed: 0,
            events: Vec::new(),
        }
    }

    /// As it was when a failure was found.
    pub(crate) fn of(mut self, record: &Record, finding: &Finding) -> io::Result<Self> {
        self.oracle.restore(finding.oracle.clone())?;
        self.writer_seed = record.writer_seed;
        self.events.clone_from(&finding.events);
        Ok(self)
    }

    /// Listens until the writer has said enough, has lived long enough, or has ended. Returns what had
    /// been said when, and whether it hangs.
    fn listen(
        &self,
        channel: &Channel,
        writer: &mut Kept,
        lines: usize,
    ) -> io::Result<(Vec<(Mark, u64)>, bool)> {
        let mut marks: Vec<(Mark, u64)> = Vec::new();
        let started = Instant::now();
        let mut first_word = None;
        loop {
            let over = writer.is_over()?;
            // Heard first, stamped then: whatever is in the mark was said by then.
            let mark = channel.hear()?;
            if marks.last().is_none_or(|(last, _)| *last != mark) {
                marks.push((mark, self.clock.load(Ordering::SeqCst)));
            }
            if over || channel.is_flooded() || channel.has_lines(lines)? {
                return Ok((marks, false));
            }
            if first_word.is_none() && channel.has_lines(1)? {
                first_word = Some(started.elapsed());
            }
            match first_word {
                Some(at) if started.elapsed() > at + LIFE_MAX => return Ok((marks, false)),
                None if started.elapsed() > self.checker.hang_limit => return Ok((marks, true)),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Store for DiskStore<'_> {
    fn begin(&mut self, _: &mut ChaCha8Rng) {
        self.oracle = BlackBoxOracle::default();
    }

    fn generations(&self) -> usize {
        self.oracle.generation as usize
    }

    fn engine(&self) -> &'static str {
        "default"
    }

    fn clock(&mut self) -> io::Result<Arc<dyn Clock>> {
        self.clock = Arc::default();
        Ok(Arc::new(Arc::clone(&self.clock)))
    }

    fn write(&mut self, dir: &Path, rng: &mut ChaCha8Rng) -> io::Result<Written> {
        let channel = Channel::open()?;
        self.writer_seed = rng.random();
        let generation = self.oracle.generation;
        let order = Order::write(self.store, dir, &channel, generation, self.writer_seed);
        let mut writer = Kept::start(&self.checker.launcher, &order)?;
        let (marks, hangs) = self.listen(&channel, &mut writer, rng.random_range(LINES))?;
        let outcome = writer.end()?;
        let flooded = channel.is_flooded();
        let said = channel.said()?;
        let end = self.clock.load(Ordering::SeqCst);
        let heard = |line_end: usize| {
            let mark = marks.iter().find(|(mark, _)| said.until(*mark) >= line_end);
            mark.map_or(end, |(_, clock)| *clock)
        };
        let (announced, garbage) = match self.oracle.names.events_of(generation, &said.bytes) {
            Ok(events) => {
                let stamp = |(line_end, event)| match event {
                    Event::Attempt { .. } => (0, event),
                    _ => (heard(line_end), event),
                };
                (events.into_iter().map(stamp).collect(), None)
            }
            Err(line) => (Vec::new(), Some(format!("{}: {line}", said.place()))),
        };
        let announced = Announced(announced);
        self.events = announced.events();
        let failed = if let Some(garbage) = garbage {
            Some(broken(WRITER_GARBAGE, &garbage))
        } else if let Some(trouble) = outcome.trouble()? {
            Some(broken(WRITER_STOPPED, &trouble))
        } else if flooded {
            Some(broken(WRITER_GARBAGE, "it prints without end"))
        } else if hangs {
            let seconds = self.checker.hang_limit.as_secs_f32();
            let detail = format!("no word, and no end after {seconds} s: {}", outcome.stderr);
            Some(broken(WRITER_HANGS, &detail))
        } else {
            None
        };
        Ok(Written {
            announced,
            failed: failed.map(|violation| violation.without_dir(dir)),
        })
    }

    fn recover(&mut self, dir: &Path, _: bool) -> io::Result<Result<Vec<Survivor>, Violation>> {
        let recovered = self.checker.recover(dir, &mut self.oracle.names)?;
        Ok(recovered.map_err(|violation| violation.without_dir(dir)))
    }

    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        self.oracle.check(events, survivors)
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.oracle.advance(events, survivors);
    }

    fn finding(&self, violation: Violation, events: Vec<Event>) -> Finding {
        let (generation, names) = (self.oracle.generation, &self.oracle.names);
        let seed = self.writer_seed;
        let record = Record::new(self.store, generation, seed, &self.events, names);
        Finding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject: self.store.name().to_owned(),
            engine: "default".to_owned(),
            crash: CrashKind::Disk,
            seed: self.seed,
            crash_point: String::new(),
            violation,
            oracle: self.oracle.save(),
            workloads: Vec::new(),
            script: Vec::new(),
            events,
            image: PathBuf::new(),
            timeline: None,
            disk: None,
            tale: None,
            black_box: Some(record),
        }
    }
}
