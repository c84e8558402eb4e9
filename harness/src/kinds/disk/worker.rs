//! The rounds of one thread: recorded runs on a device, and images of it examined.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::bench::Bench;
use super::crash::{DiskCrash, recover_on};
use crate::disk::{CrashState, Crashes, FaultPlan, FileSystem, Image, Outcome, Sampling};
use crate::finding::{Finding, Found};
use crate::history::Event;
use crate::kinds::contract::{Job, Worker};
use crate::kinds::early::Early;
use crate::kinds::story::{Broken, Past, PastLife};
use crate::loss::{LossModel, Unflushed, UnflushedBlocks};
use crate::oracle::Violation;
use crate::reached::{Place, Process};
use crate::recorder::{DeviceRun, OnBase, OnDevice, Recorder, Recording};
use crate::stop::Stop;
use crate::store::Store;
use crate::survivor::Survivor;
use crate::tally::{Phase, Tally};
use crate::workload::stream;

/// Generations on one device before a fresh one is begun.
const GENERATIONS: usize = 4;
/// States of one recording that are looked at, near flushes first.
const STATES_MAX: usize = 160;
/// Of these, how many are recovered while the device records, so that their recovery is crashed too.
const RECORDED_RECOVERIES: usize = 1;
/// States looked at of each such recovery.
const NESTED_MAX: usize = 24;

/// One device's generations after another's, on one thread.
pub(super) struct OnDevices<'a> {
    store: Box<dyn Store + 'a>,
    file_system: FileSystem,
    scratch: &'a Path,
    /// Where a failure's directory and recording are kept.
    evidence: PathBuf,
    /// Where a store is prepared that is to be there in the beginning.
    prepared: PathBuf,
    /// The torture is over: no more states.
    stop: &'a Stop,
    rng: ChaCha8Rng,
    /// Made in the first round, on the thread that uses it.
    bench: Option<Bench>,
    /// What the next generation starts from; none for a fresh device.
    image: Option<Image>,
    early: Early,
    /// No generation came before the one that is looked at.
    is_first: bool,
    /// The generations before, as a story has them.
    past: Past,
}

/// A broken promise, and the crash that shows it.
struct Failing {
    outcome: Outcome,
    /// The index of the crash.
    index: u64,
    broken: Broken,
}

impl Worker for OnDevices<'_> {
    /// One generation: a recorded run and its crash states.
    fn round(&mut self, _: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        let mut bench = match self.bench.take() {
            Some(bench) => bench,
            None => Bench::new(self.scratch, &self.file_system)?,
        };
        let image = match self.image.take() {
            Some(image) if self.store.generations() < GENERATIONS => image,
            _ => {
                self.store.begin(&mut self.rng);
                self.past.clear();
                bench.begin(&mut *self.store, &self.prepared, &self.file_system)?
            }
        };
        self.is_first = self.store.generations() == 0;
        let found = self.generation(&mut bench, &image, tally);
        self.bench = Some(bench);
        let now = |finding| Found::now(finding, tally.crash_states);
        Ok(found?.into_iter().map(now).collect())
    }
}

impl<'a> OnDevices<'a> {
    pub(super) fn new(job: &Job<'a>) -> Self {
        let fs = job.case.fs.expect("a row of this kind has a file system");
        Self {
            store: job.tested.store(job.plan),
            file_system: job.plan.file_system(fs),
            scratch: job.scratch,
            evidence: job.scratch.join(format!("{}-evidence", job.name())),
            prepared: job.scratch.join(format!("{}-prepared", job.name())),
            stop: &job.plan.stop,
            rng: stream(job.plan.seed, job.row << 32 | job.lane),
            bench: None,
            image: None,
            early: Early::of(job.plan),
            is_first: true,
            past: Past::default(),
        }
    }

    fn generation(
        &mut self,
        bench: &mut Bench,
        image: &Image,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        tally.count_engine(self.store.engine());
        let faults = self.draw_faults();
        let recording = bench.recorder(&self.file_system).record(DeviceRun {
            store: &mut *self.store,
            base: image,
            run: OnBase::Write {
                faults,
                rng: &mut self.rng,
            },
            tally,
        })?;
        tally.count_round(&recording.announced.events());
        if let Some(violation) = recording.failed.clone() {
            return self.writer_failed(bench, &recording, violation, tally);
        }
        if self.is_over() {
            return Ok(None);
        }
        let mut loss = self.loss_of(&recording, STATES_MAX, tally);
        tally.calls += recording.recording.entries.len() as u64;
        if let Some(found) = self.look(bench, &recording, &mut loss, tally)? {
            return Ok(Some(found));
        }
        let states = loss.states();
        for _ in 0..RECORDED_RECOVERIES {
            if self.is_over() {
                break;
            }
            let state = &states[self.rng.random_range(0..states.len())];
            if let Some(found) = self.crash_recovery(bench, &recording, state, tally)? {
                return Ok(Some(found));
            }
        }
        // The next generation starts from one of them, recovered.
        let state = &states[self.rng.random_range(0..states.len())];
        // A writer that was killed has been counted.
        let is_mid_work =
            tally.killed_mid_work > 0 || state.state.index() < recording.recording.end;
        tally.killed_mid_work = u64::from(is_mid_work);
        if !self.is_over() {
            self.image = self.go_on(bench, &recording, state, tally)?;
        }
        Ok(None)
    }

    /// The torture ends between any two images.
    fn is_over(&self) -> bool {
        self.stop.is_set()
    }

    /// In one generation of five, one request of the device fails; half of the time everything after it,
    /// too.
    fn draw_faults(&mut self) -> Option<FaultPlan> {
        if self.rng.random_bool(0.8) {
            return None;
        }
        let number = self.rng.random_range(0..30);
        let plan = if self.rng.random_bool(0.5) {
            FaultPlan::default().fail_flush(number)
        } else {
            FaultPlan::default().fail_write(number)
        };
        Some(if self.rng.random_bool(0.5) {
            plan.for_good()
        } else {
            plan
        })
    }

    fn recover_recorded(
        &mut self,
        bench: &mut Bench,
        state: &Unflushed<'_>,
        close: bool,
        known: Vec<Event>,
        tally: &mut Tally,
    ) -> io::Result<OnDevice> {
        bench.recorder(&self.file_system).record(DeviceRun {
            store: &mut *self.store,
            base: &state.image(),
            run: OnBase::Recover { close, known },
            tally,
        })
    }

    fn loss_of<'r>(
        &mut self,
        recording: &'r OnDevice,
        states_max: usize,
        tally: &mut Tally,
    ) -> UnflushedBlocks<'r> {
        let began = Instant::now();
        let sampling = Sampling::seeded(self.rng.next_u64()).on(&self.file_system);
        let loss = UnflushedBlocks::of(recording, &sampling, states_max);
        tally.spend(Phase::Plan, began.elapsed());
        loss
    }

    /// Looks at states until one breaks a promise, or the torture is over.
    fn look(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        loss: &mut UnflushedBlocks<'_>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let look = |_, unflushed: Unflushed<'_>| {
            if self.is_over() {
                return ControlFlow::Break(Ok(None));
            }
            match self.examine(bench, recording, unflushed, tally) {
                Ok(None) => ControlFlow::Continue(()),
                found => ControlFlow::Break(found),
            }
        };
        let found = loss.crash_states(recording, 0..recording.moments(), look);
        match found.break_value().transpose()?.flatten() {
            Some(failing) => self.finding(bench, recording, failing, tally).map(Some),
            None => Ok(None),
        }
    }

    /// Mounts a state, recovers it, and asks the oracle about every moment at which it can come about.
    fn examine(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        unflushed: Unflushed<'_>,
        tally: &mut Tally,
    ) -> io::Result<Option<Failing>> {
        let began = Instant::now();
        let image = unflushed.image();
        tally.spend(Phase::Build, began.elapsed());
        let before = bench.examiner.spent();
        let shown = recover_on(&mut bench.examiner, &mut *self.store, &image)?;
        let after = bench.examiner.spent();
        tally.spend(Phase::Load, after.load.saturating_sub(before.load));
        tally.spend(Phase::Mount, after.mount.saturating_sub(before.mount));
        tally.spend(Phase::Recover, after.look.saturating_sub(before.look));
        tally.spend(Phase::Unmount, after.unmount.saturating_sub(before.unmount));
        let Some(shown) = shown else {
            tally.unmountable += 1;
            return Ok(None);
        };
        let state = unflushed.state;
        let moments = state.indices.iter().filter_map(|range| {
            let moment = usize::try_from(*range.end()).expect("in memory");
            let events = recording.announced_at(moment);
            let is_looked_at = !self.early.skips(self.is_first, &events);
            is_looked_at.then_some((*range.end(), events))
        });
        let mut moments = moments.peekable();
        if moments.peek().is_none() {
            return Ok(None);
        }
        tally.crash_states += 1;
        let process = match recording.recovered {
            Some(_) => Process::Recovery,
            None => Process::Writer,
        };
        let index = usize::try_from(state.index()).expect("in memory");
        let place = Place::of(process, recording.next_call(index).as_ref());
        tally.reached.count(&place, 0);
        let began = Instant::now();
        let broken = match shown {
            Err(violation) => Some((state.index(), Broken::without_survivors(violation))),
            Ok(survivors) => {
                tally.recovered += Survivor::entries(&survivors).0.len() as u64;
                let broken = moments.find_map(|(index, events)| {
                    let checked = self.store.check(&events, &survivors);
                    Some((index, checked.err()?))
                });
                tally.spend(Phase::Check, began.elapsed());
                broken.map(|(index, violation)| (index, Broken::of(violation, survivors)))
            }
        };
        Ok(broken.map(|(index, broken)| Failing::of(state, index, broken)))
    }

    /// Recovers a state while the device records: crashes in the replay of the journal and in recovery.
    fn crash_recovery(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        state: &Unflushed<'_>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let known = recording.announced.at(state.state.index());
        let recording = self.recover_recorded(bench, state, false, known, tally)?;
        // What the recovery shows is examined among the others.
        if recording.recovered.is_none() {
            return Ok(None);
        }
        tally.recoveries_crashed += 1;
        let mut loss = self.loss_of(&recording, NESTED_MAX, tally);
        self.look(bench, &recording, &mut loss, tally)
    }

    /// Recovers a state for good: what it shows may never be lost. Returns the device to go on with.
    fn go_on(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        state: &Unflushed<'_>,
        tally: &mut Tally,
    ) -> io::Result<Option<Image>> {
        let close = self.rng.random_bool(0.2);
        let known = recording.announced.at(state.state.index());
        let recovery = self.recover_recorded(bench, state, close, known.clone(), tally)?;
        // What fails here was examined before; or it fails to close, and is begun anew.
        let Some(Ok(survivors)) = recovery.recovered else {
            return Ok(None);
        };
        self.store.advance(&known, &survivors);
        let index = state.state.index();
        let life = PastLife {
            events: &known,
            ended: format!("The power is lost after request {index} of the device."),
            shown: survivors,
        };
        self.past.push(life, &|id| self.store.entry_name(id));
        let recording = recovery.recording;
        Ok(Some(recording.image_at(recording.end)))
    }

    /// A writer that stopped by itself, on a device without a fault.
    fn writer_failed(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let end = recording.recording.end;
        let crashes = Crashes::at(&recording.recording, end, &Sampling::prefixes());
        let broken = Broken::without_survivors(violation);
        let failing = Failing::of(&crashes.states()[0], end, broken);
        self.finding(bench, recording, failing, tally).map(Some)
    }

    fn finding(
        &mut self,
        bench: &mut Bench,
        recording: &OnDevice,
        failing: Failing,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        let Failing {
            outcome,
            index,
            broken,
        } = failing;
        // What fails on a disk that does not work is not counted.
        bench.examiner.check()?;
        tally.violated(&broken.violation);
        let crash = DiskCrash {
            file_system: self.file_system.clone(),
            outcome,
            index,
            announced: recording.announced.clone(),
        };
        crash.finding(
            &*self.store,
            (&self.past, broken),
            &recording.recording,
            &mut bench.examiner,
            &self.evidence,
        )
    }
}

impl Failing {
    fn of(state: &CrashState, index: u64, broken: Broken) -> Self {
        let outcome = state.outcome_at(index).unwrap_or(&state.outcome);
        Self {
            outcome: outcome.clone(),
            index,
            broken,
        }
    }
}
