//! `disk`: a writer on a real file system, on a recorded block device; the crash states are images of
//! that device, mounted and recovered one after another.
//!
//! The device raises a clock before it answers the kernel, and every event carries what the clock
//! said. So an acknowledgement that was announced at index *i* must survive every crash at or after
//! *i*, and no crash before the index of an attempt can show it.

mod saved;
mod shrink;
mod store;
mod story;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::disk::{
    CrashState, Crashes, Disk, Examiner, FaultPlan, FileSystem, Image, Recording, Sampling, Site,
    is_mount_refused,
};
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::Violation;
use crate::scratch::{copy_dir, remove_dir};
use crate::subject::Survivor;
use crate::tally::{Phase, Tally};

pub(crate) use saved::{DiskCrash, replay};
pub(crate) use shrink::{Shrunk, shrink};
pub(crate) use store::{Announced, Store, SubjectStore, Written};

/// Generations on one device before a fresh one is begun.
const GENERATIONS: usize = 4;
/// States of one recording that are looked at, near flushes first.
const STATES_MAX: usize = 160;
/// Of these, how many are recovered while the device records, so that their recovery is crashed too.
const RECORDED_RECOVERIES: usize = 1;
/// States looked at of each such recovery.
const NESTED_MAX: usize = 24;
/// The store's directory in the file system.
const STORE: &str = "store";

/// One device's generations after another's, on one thread.
pub(crate) struct Lane<'a> {
    store: Box<dyn Store + 'a>,
    file_system: FileSystem,
    scratch: &'a Path,
    /// Where a failure's directory and recording are kept.
    evidence: PathBuf,
    /// The torture is over: no more states.
    stop: &'a AtomicBool,
    rng: ChaCha8Rng,
    /// Made in the first round, on the thread that uses it.
    bench: Option<Bench>,
    /// What the next generation starts from; none for a fresh device.
    image: Option<Image>,
}

/// What mounts images.
struct Bench {
    site: Site,
    examiner: Examiner,
    /// On which writers are recorded. None if it has failed, or something on it has.
    recorder: Option<Disk>,
    /// A fresh file system with an empty store.
    fresh: Image,
}

/// What was recorded, and what had been announced when.
#[derive(Clone, Copy)]
struct Run<'r> {
    recording: &'r Recording,
    announced: &'r Announced,
}

/// A broken promise, and the state that shows it.
struct Broken {
    state: CrashState,
    /// The index of the crash.
    index: u64,
    image: Image,
    violation: Violation,
}

impl<'a> Lane<'a> {
    /// `name` tells this lane's files from those of others below `scratch`.
    pub(crate) fn new(
        store: Box<dyn Store + 'a>,
        file_system: FileSystem,
        scratch: &'a Path,
        name: &str,
        stop: &'a AtomicBool,
        rng: ChaCha8Rng,
    ) -> Self {
        Self {
            store,
            file_system,
            scratch,
            evidence: scratch.join(format!("{name}-evidence")),
            stop,
            rng,
            bench: None,
            image: None,
        }
    }

    /// One generation: a recorded run and its crash states.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        let mut bench = match self.bench.take() {
            Some(bench) => bench,
            None => Bench::new(self.scratch, &self.file_system)?,
        };
        let image = match self.image.take() {
            Some(image) if self.store.generations() < GENERATIONS => image,
            _ => {
                self.store.begin(&mut self.rng);
                bench.fresh.clone()
            }
        };
        let found = self.generation(&mut bench, image, tally);
        self.bench = Some(bench);
        found
    }

    fn generation(
        &mut self,
        bench: &mut Bench,
        image: Image,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        *tally
            .engines
            .entry(self.store.engine().to_owned())
            .or_default() += 1;
        let clock = self.store.clock()?;
        let began = Instant::now();
        let disk = match bench.recorder.take() {
            Some(disk) => {
                disk.renew(&image, clock)?;
                disk
            }
            None => Disk::new(&bench.site, image, clock)?,
        };
        let faults = self.draw_faults();
        let is_faulty = faults.is_some();
        let (store, rng) = (&mut self.store, &mut self.rng);
        let (written, recording) = disk.record(&self.file_system, |dir| {
            if let Some(faults) = faults {
                disk.plan_faults(faults);
            }
            store.write(&dir.join(STORE), rng)
        })?;
        tally.spend(Phase::Record, began.elapsed());
        let Written { announced, failed } = written?;
        tally.count_round(&announced.events());
        tally.faults += disk.faults();
        let run = Run {
            recording: &recording,
            announced: &announced,
        };
        if let Some(violation) = failed.filter(|_| disk.faults() == 0) {
            return self.writer_failed(bench, run, violation, tally).map(Some);
        }
        // The kernel may remember what failed.
        bench.recorder = Some(disk).filter(|_| !is_faulty);
        if self.is_over() {
            return Ok(None);
        }
        let began = Instant::now();
        let sampling = Sampling::seeded(self.rng.next_u64()).on(&self.file_system);
        let crashes = Crashes::new(&recording, &sampling);
        tally.spend(Phase::Plan, began.elapsed());
        tally.calls += recording.entries.len() as u64;
        let states = crashes.states();
        let wanted = &states[..states.len().min(STATES_MAX)];
        if let Some(found) = self.look(bench, run, &crashes, wanted, tally)? {
            return Ok(Some(found));
        }
        for _ in 0..RECORDED_RECOVERIES {
            if self.is_over() {
                break;
            }
            let state = &states[self.rng.random_range(0..states.len())];
            if let Some(found) = self.crash_recovery(bench, run, &crashes, state, tally)? {
                return Ok(Some(found));
            }
        }
        // The next generation goes on behind one of them, recovered.
        let state = &states[self.rng.random_range(0..states.len())];
        // A writer that was killed has been counted.
        let is_mid_work = tally.killed_mid_work > 0 || state.index() < recording.end;
        tally.killed_mid_work = u64::from(is_mid_work);
        if !self.is_over() {
            let began = Instant::now();
            self.image = self.go_on(bench, run, &crashes, state)?;
            tally.spend(Phase::Record, began.elapsed());
        }
        Ok(None)
    }

    /// Somebody wants it to end: it does so between any two images.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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

    /// Looks at states until one breaks a promise, or the torture is over.
    fn look(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        crashes: &Crashes<'_>,
        states: &[CrashState],
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        for state in states {
            if self.is_over() {
                break;
            }
            let began = Instant::now();
            let image = image_of(crashes, state);
            tally.spend(Phase::Build, began.elapsed());
            if let Some(broken) = self.examine(bench, run, state, image, tally)? {
                return self.finding(bench, run, broken, tally).map(Some);
            }
        }
        Ok(None)
    }

    /// Mounts a state, recovers it, and asks the oracle about every moment at which it can come about.
    fn examine(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        state: &CrashState,
        image: Image,
        tally: &mut Tally,
    ) -> io::Result<Option<Broken>> {
        let before = bench.examiner.spent();
        let shown = recover(&mut *self.store, &mut bench.examiner, &image, false)?;
        let after = bench.examiner.spent();
        tally.spend(Phase::Load, after.load.saturating_sub(before.load));
        tally.spend(Phase::Mount, after.mount.saturating_sub(before.mount));
        tally.spend(Phase::Recover, after.look.saturating_sub(before.look));
        tally.spend(Phase::Unmount, after.unmount.saturating_sub(before.unmount));
        let Some(shown) = shown else {
            tally.unmountable += 1;
            return Ok(None);
        };
        tally.crash_states += 1;
        let began = Instant::now();
        let (index, violation) = match shown {
            Err(violation) => (state.index(), violation),
            Ok(survivors) => {
                tally.recovered += survivors.len() as u64;
                let broken = state.indices.iter().find_map(|range| {
                    let events = run.announced.at(*range.end());
                    let checked = self.store.check(&events, &survivors);
                    Some((*range.end(), checked.err()?))
                });
                tally.spend(Phase::Check, began.elapsed());
                match broken {
                    None => return Ok(None),
                    Some(broken) => broken,
                }
            }
        };
        Ok(Some(Broken {
            state: state.clone(),
            index,
            image,
            violation,
        }))
    }

    /// Recovers a state while the device records: crashes in the replay of the journal and in recovery.
    fn crash_recovery(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        crashes: &Crashes<'_>,
        state: &CrashState,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let (store, examiner) = (&mut self.store, &mut bench.examiner);
        let began = Instant::now();
        let image = image_of(crashes, state);
        let looked =
            examiner.with_mounted_recorded(&image, |dir| store.recover(&dir.join(STORE), false));
        tally.spend(Phase::Record, began.elapsed());
        let recording = match looked {
            Ok((recovered, recording)) => {
                // What it says is examined among the others.
                recovered?.ok();
                recording
            }
            Err(error) if is_mount_refused(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        tally.recoveries_crashed += 1;
        let sampling = Sampling::seeded(self.rng.next_u64()).on(&self.file_system);
        let crashes = Crashes::new(&recording, &sampling);
        // Nothing is announced during a recovery: what was known at the crash is known still.
        let announced = Announced::before_all(run.announced.at(state.index()));
        let run = Run {
            recording: &recording,
            announced: &announced,
        };
        let states = crashes.states();
        let wanted = &states[..states.len().min(NESTED_MAX)];
        self.look(bench, run, &crashes, wanted, tally)
    }

    /// Recovers a state for good: what it shows may never be lost. Returns the disk to go on with.
    fn go_on(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        crashes: &Crashes<'_>,
        state: &CrashState,
    ) -> io::Result<Option<Image>> {
        let close = self.rng.random_bool(0.2);
        let (store, examiner) = (&mut self.store, &mut bench.examiner);
        let image = image_of(crashes, state);
        let looked =
            examiner.with_mounted_recorded(&image, |dir| store.recover(&dir.join(STORE), close));
        match looked {
            Ok((recovered, recording)) => {
                // What fails here was examined before; or it fails to close, and is begun anew.
                let Ok(survivors) = recovered? else {
                    return Ok(None);
                };
                self.store
                    .advance(&run.announced.at(state.index()), &survivors);
                Ok(Some(recording.image_at(recording.end)))
            }
            Err(error) if is_mount_refused(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A writer that stopped by itself, on a device without a fault.
    fn writer_failed(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        let end = run.recording.end;
        let crashes = Crashes::at(run.recording, end, &Sampling::prefixes());
        let broken = Broken {
            state: crashes.states()[0].clone(),
            index: end,
            image: run.recording.image_at(end),
            violation,
        };
        self.finding(bench, run, broken, tally)
    }

    fn finding(
        &mut self,
        bench: &mut Bench,
        run: Run<'_>,
        broken: Broken,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        tally.violated(&broken.violation);
        remove_dir(&self.evidence)?;
        fs::create_dir_all(&self.evidence)?;
        let crash = DiskCrash {
            file_system: self.file_system.clone(),
            outcome: broken
                .state
                .outcome_at(broken.index)
                .unwrap_or(&broken.state.outcome)
                .clone(),
            index: broken.index,
            announced: run.announced.clone(),
            recording: self.evidence.join("recording"),
        };
        run.recording.save(&crash.recording)?;
        let found = self.store.finding(broken.violation, Vec::new());
        crash.found(
            &mut bench.examiner,
            run.recording,
            &broken.image,
            found,
            &self.evidence,
        )
    }
}

impl Bench {
    fn new(scratch: &Path, file_system: &FileSystem) -> io::Result<Self> {
        let site = Site::enter(scratch)?;
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock)?;
        disk.format(file_system)?;
        let mounted = disk.mount(file_system)?;
        fs::create_dir(mounted.path().join(STORE))?;
        mounted.unmount()?;
        Ok(Self {
            examiner: Examiner::new(&site, file_system)?,
            fresh: disk.image(),
            recorder: Some(disk),
            site,
        })
    }
}

fn image_of(crashes: &Crashes<'_>, state: &CrashState) -> Image {
    let image = crashes.image(&state.outcome);
    image.expect("the state is of this recording")
}

/// Recovers the store on an image. `None` if the kernel does not mount it.
fn recover(
    store: &mut dyn Store,
    examiner: &mut Examiner,
    image: &Image,
    close: bool,
) -> io::Result<Option<Result<Vec<Survivor>, Violation>>> {
    let looked = examiner.with_mounted(image, |dir| store.recover(&dir.join(STORE), close));
    match looked {
        Ok(recovered) => recovered.map(Some),
        Err(error) if is_mount_refused(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies the store's directory on an image; leaves an empty one if the kernel does not mount it.
fn copy_store(examiner: &mut Examiner, image: &Image, to: &Path) -> io::Result<()> {
    remove_dir(to)?;
    match examiner.with_mounted(image, |dir| copy_dir(&dir.join(STORE), to)) {
        Ok(copied) => copied,
        Err(error) if is_mount_refused(&error) => fs::create_dir_all(to),
        Err(error) => Err(error),
    }
}

/// What recovery says of a state, at one moment: the promise that it breaks.
fn verdict(
    store: &dyn Store,
    recovered: &Result<Vec<Survivor>, Violation>,
    events: &[Event],
) -> Result<(), Violation> {
    match recovered {
        Ok(survivors) => store.check(events, survivors),
        Err(violation) => Err(violation.clone()),
    }
}
