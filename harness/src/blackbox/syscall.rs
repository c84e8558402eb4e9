//! `syscall` for a black box: one traced run of the writer, and the checker on every state that it
//! went through.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::BlackBox;
use super::channel::{Channel, Said};
use super::checker::{Checker, broken, failed};
use super::failure::{Record, WRITER_GARBAGE, WRITER_HANGS, WRITER_STOPPED};
use super::keeper::Order;
use super::oracle::BlackBoxOracle;
use super::recording::{State, Traced, Trouble};
use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::history::Event;
use crate::image::Image;
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: u32 = 4;

/// One directory's generations after another's, on one thread.
pub(crate) struct Lane<'a> {
    store: &'a BlackBox,
    plan: &'a Plan,
    dir: PathBuf,
    /// Where states are laid out to be recovered.
    state_dir: PathBuf,
    checker: Checker<'a>,
    rng: ChaCha8Rng,
    oracle: BlackBoxOracle,
    writer_seed: u64,
    begun: bool,
    /// What the next generation starts from.
    base: Image,
}

/// What a traced writer said, each event with the offset of its line's end.
struct Heard {
    said: Said,
    events: Vec<(usize, Event)>,
}

impl Heard {
    /// The events that had been announced in full at a state.
    fn at(&self, state: &State) -> Vec<Event> {
        let until = self.said.until(state.mark);
        let events = self.events.iter().take_while(|(end, _)| *end <= until);
        events.map(|(_, event)| *event).collect()
    }
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        store: &'a BlackBox,
        plan: &'a Plan,
        dir: PathBuf,
        state_dir: PathBuf,
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
            state_dir,
            checker,
            rng,
            oracle: BlackBoxOracle::default(),
            writer_seed: 0,
            begun: false,
            base: Image::default(),
        }
    }

    /// One generation: a traced run, all its states, and a traced recovery of one of them.
    pub(super) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        if !self.begun || self.oracle.generation >= GENERATIONS {
            self.oracle = BlackBoxOracle::default();
            self.base = Image::default();
            self.begun = true;
        }
        self.writer_seed = self.rng.random();
        *tally.engines.entry("default".to_owned()).or_default() += 1;
        let channel = Channel::open()?;
        let (generation, seed) = (self.oracle.generation, self.writer_seed);
        let run = Traced {
            launcher: &self.plan.launcher,
            order: Order::write(self.store, &self.dir, &channel, generation, seed),
            dir: &self.dir,
            channel: &channel,
            calls_max: Some(self.rng.random_range(24..72)),
            hang_limit: self.plan.hang_limit,
        };
        let recording = run.record(&self.base, &mut self.rng, tally)?;
        let said = channel.said()?;
        let parsed = self.oracle.names.events_of(generation, &said.bytes);
        let last = recording.states.last().expect("at least the first").clone();
        let violation = match (&parsed, recording.trouble) {
            (Err(line), _) => Some(broken(WRITER_GARBAGE, &format!("{}: {line}", said.place()))),
            (_, Some(Trouble::Stopped(detail))) => Some(broken(WRITER_STOPPED, &detail)),
            (_, Some(Trouble::Hangs(detail))) => Some(broken(WRITER_HANGS, &detail)),
            (Ok(_), None) => None,
        };
        let heard = Heard {
            said,
            events: parsed.unwrap_or_default(),
        };
        let all: Vec<Event> = heard.events.iter().map(|(_, event)| *event).collect();
        tally.count_round(&all);
        if let Some(violation) = violation {
            return self.finding(last, all, violation, tally).map(Some);
        }

        let mut examined = HashSet::new();
        for state in &recording.states {
            if let Some(finding) = self.examine_new(state, &heard, &mut examined, tally)? {
                return Ok(Some(finding));
            }
        }
        let traced = self.rng.random_range(0..recording.states.len());
        let traced = &recording.states[traced];
        if let Some(finding) = self.trace_recovery(traced, &heard, &mut examined, tally)? {
            return Ok(Some(finding));
        }
        // The next generation goes on from one of these states, recovered.
        let next = &recording.states[self.rng.random_range(0..recording.states.len())];
        let events = heard.at(next);
        match self.examine(&next.image, &events, tally)? {
            Ok(survivors) => {
                self.oracle.advance(&events, &survivors);
                self.base = Image::read(&self.state_dir, &next.image)?;
                Ok(None)
            }
            Err(violation) => {
                let state = next.clone();
                self.finding(state, events, violation, tally).map(Some)
            }
        }
    }

    fn examine_new(
        &mut self,
        state: &State,
        heard: &Heard,
        seen: &mut HashSet<u64>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let events = heard.at(state);
        if !seen.insert(state.fingerprint(events.len())) {
            return Ok(None);
        }
        match self.examine(&state.image, &events, tally)? {
            Ok(_) => Ok(None),
            Err(violation) => {
                let state = state.clone();
                self.finding(state, events, violation, tally).map(Some)
            }
        }
    }

    /// Recovers a state and asks the oracle.
    fn examine(
        &mut self,
        image: &Image,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        tally.crash_states += 1;
        image.write(&self.state_dir)?;
        let names = &mut self.oracle.names;
        let survivors = match self.checker.recover(&self.state_dir, names)? {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(Err(violation)),
        };
        tally.recovered += survivors.len() as u64;
        if let Err(violation) = self.oracle.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.05) {
            tally.second_recoveries += 1;
            let (dir, names) = (&self.state_dir, &mut self.oracle.names);
            if let Err(violation) = self.checker.recover_again(dir, names, &survivors)? {
                return Ok(Err(violation));
            }
        }
        Ok(Ok(survivors))
    }

    /// A crash in the middle of recovery: recovers a state under trace, and each state of that.
    fn trace_recovery(
        &mut self,
        state: &State,
        heard: &Heard,
        seen: &mut HashSet<u64>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let channel = Channel::open()?;
        let run = Traced {
            launcher: &self.plan.launcher,
            order: Order::check(self.store, &self.dir, &channel),
            dir: &self.dir,
            channel: &channel,
            calls_max: None,
            hang_limit: self.plan.hang_limit,
        };
        let recording = run.record(&state.image, &mut self.rng, tally)?;
        tally.recoveries_traced += 1;
        if let Some(Trouble::Stopped(detail) | Trouble::Hangs(detail)) = recording.trouble {
            let events = heard.at(state);
            let state = state.clone();
            return self
                .finding(state, events, failed(&detail), tally)
                .map(Some);
        }
        for inner in recording.states {
            let inner = State {
                mark: state.mark,
                point: format!("{}, then in recovery {}", state.point, inner.point),
                image: inner.image,
            };
            if let Some(finding) = self.examine_new(&inner, heard, seen, tally)? {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    fn finding(
        &mut self,
        state: State,
        events: Vec<Event>,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        tally.violated(&violation);
        self.begun = false;
        // The state's directory has been recovered since: lay the image out anew.
        state.image.write(&self.state_dir)?;
        let (oracle, seed) = (&self.oracle, self.writer_seed);
        let record = Record::new(self.store, oracle.generation, seed, &events, &oracle.names);
        Ok(Finding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject: self.store.name().to_owned(),
            engine: "default".to_owned(),
            crash: CrashKind::Syscall,
            seed: self.plan.seed,
            crash_point: state.point,
            violation,
            oracle: oracle.save(),
            workloads: Vec::new(),
            script: Vec::new(),
            events,
            image: self.state_dir.clone(),
            timeline: None,
            disk: None,
            tale: None,
            black_box: Some(record),
        })
    }
}
