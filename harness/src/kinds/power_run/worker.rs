//! The rounds of one thread: traced runs, followed, and what power cuts make of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::bench::Bench;
use super::control::kill_control;
use super::damaged::INTACT_KEEPS_ITS_PROMISES;
use super::keep::Failure;
use super::lives::{End, Life, Lives};
use super::scene::{Halt, Recovery, Scene};
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Found};
use crate::history::Event;
use crate::kinds::contract::{Job, Worker};
use crate::kinds::early::Early;
use crate::kinds::sought::Sought;
use crate::kinds::story::Past;
use crate::loss::{LossModel, Outcome, PowerLoss};
use crate::oracle::Violation;
use crate::planned_fault::PlannedFault;
use crate::reached::{Place, shape_of};
use crate::recorder::{Disks, Followed, RecorderKind, Recording, Run};
use crate::sim::{Disk, Profile};
use crate::stop::Stop;
use crate::store::{NextBase, Work, prepared};
use crate::tally::{Tally, is_mid_work};
use crate::workload::stream;

/// Generations on one disk before a fresh one is begun.
const GENERATIONS: usize = 3;
/// Crashes drawn to go on from, if recovery fails after each of them.
const CRASHES_MAX: usize = 4;
/// The largest number of outcomes of a moment of which every one is looked at.
const EXHAUSTIVE: usize = 16;
/// The number of outcomes drawn at the other moments; three times as many right before a sync.
const SAMPLES: usize = 6;
/// States of a writer that are looked at.
const STATES_MAX: u64 = 320;
/// States of a recovery that are looked at.
const RECOVERY_STATES_MAX: u64 = 64;
/// Crash states of a writer that are recovered under trace, with crashes in the middle.
const TRACED_RECOVERIES: usize = 2;

/// One disk's generations after another's, on one thread.
pub(super) struct OnTrace<'a> {
    pub(super) bench: Bench<'a>,
    pub(super) crash: CrashKind,
    /// Errors of the disk that are asked for.
    pub(super) planned: Vec<PlannedFault>,
    /// It was said what keeps a run or a state from counting.
    pub(super) is_told: bool,
    /// States of the last run without an error of its disk that broke no promise.
    pub(super) well_states: u64,
    /// Where failures are laid out.
    image: PathBuf,
    profiles: Vec<Profile>,
    stop: Stop,
    /// When the row is over: a slow checker may take minutes for one round.
    deadline: Option<Instant>,
    /// How the disk came about; none where a fresh one is to be begun.
    pub(super) lives: Option<Lives>,
    pub(super) disk: Disk,
    /// What the last recovery showed.
    past: Past,
    /// Disks and announcements that were looked at.
    pub(super) seen: HashSet<u64>,
    sought: Sought,
    pub(super) early: Early,
    /// What was found: the first of each class.
    pub(super) found: BTreeMap<String, Found>,
    /// The controls were done.
    is_controlled: bool,
}

impl Worker for OnTrace<'_> {
    fn round(&mut self, _: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        let outcome = match self.crash {
            CrashKind::Fault => self.faulty_generation(tally),
            CrashKind::Rot => self.rotten_generation(tally),
            _ => self.generation(tally),
        };
        if outcome.is_err() || self.bench.store.generations() >= GENERATIONS {
            self.lives = None;
        }
        match outcome {
            Err(Halt::Machine(error)) if self.found.is_empty() => Err(error),
            _ => Ok(std::mem::take(&mut self.found).into_values().collect()),
        }
    }
}

impl<'a> OnTrace<'a> {
    pub(super) fn new(job: &Job<'a>) -> Self {
        let plan = job.plan;
        Self {
            bench: Bench {
                store: job.tested.store(plan),
                dir: job.scratch.join(format!("{}-powered", job.name())),
                recorder: plan.recorder.unwrap_or(RecorderKind::Trace),
                ignored: plan.ignored.clone(),
                rng: stream(plan.seed, job.row << 32 | job.lane),
            },
            crash: job.case.crash,
            planned: plan.faults.clone(),
            is_told: false,
            well_states: 0,
            image: job.scratch.join(format!("{}-found", job.name())),
            profiles: plan.profiles().to_vec(),
            stop: plan.stop.clone(),
            deadline: plan.budget.duration().map(|time| Instant::now() + time),
            lives: None,
            disk: Disk::new(Profile::Strict),
            past: Past::default(),
            seen: HashSet::new(),
            sought: job.sought(),
            early: Early::of(plan),
            found: BTreeMap::new(),
            is_controlled: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.bench.store.begin(&mut self.bench.rng);
        let image = prepared(&mut *self.bench.store, &self.bench.dir)?;
        let profile = self.profiles[self.bench.rng.random_range(0..self.profiles.len())];
        let lives = Lives::on(&image, self.bench.recorder, profile)?;
        self.disk = lives.fresh()?;
        self.past.clear();
        self.seen.clear();
        self.lives = Some(lives);
        Ok(())
    }

    /// The control, once; and a fresh disk, if the last one is done with.
    pub(super) fn prepare(&mut self, tally: &mut Tally) -> Result<(), Halt> {
        if self.lives.is_none() {
            self.begin()?;
        }
        if !self.is_controlled {
            self.end_control(tally)?;
            self.is_controlled = true;
            self.begin()?;
        }
        tally.count_engine(self.bench.store.engine());
        Ok(())
    }

    /// A writer on a disk that works.
    pub(super) fn written(&mut self, tally: &mut Tally) -> Result<Followed, Halt> {
        self.prepare(tally)?;
        let disk = self.disk.clone();
        let recording =
            self.bench
                .record(Run::Write(Work::Traced), disk, Vec::new(), None, tally)?;
        let last = recording.moments() - 1;
        tally.count_round(&recording.announced_at(last));
        if (0..=last).any(|moment| is_mid_work(&recording.announced_at(moment))) {
            tally.killed_mid_work = tally.killed_mid_work.max(1);
        }
        self.judge_writer(&Scene::of_writer(&recording, &[]), tally)?;
        Ok(recording)
    }

    /// One writer, its crash states, and those of a few recoveries.
    fn generation(&mut self, tally: &mut Tally) -> Result<(), Halt> {
        let recording = self.written(tally)?;
        let scene = Scene::of_writer(&recording, &[]);
        self.look(&scene, STATES_MAX, tally)?;
        for _ in 1..TRACED_RECOVERIES {
            if self.is_over() {
                break;
            }
            if let Some(crash) = self.draw_crash(&scene) {
                self.recover(&scene, crash, tally)?;
            }
        }
        self.go_on(&scene, tally)
    }

    /// Looks at crash states of a life: where most is at stake first.
    pub(super) fn look(
        &mut self,
        scene: &Scene<'_>,
        states_max: u64,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        let recording = scene.recording;
        let until = tally.crash_states + states_max;
        for moment in self.moments_of(scene) {
            let events = recording.announced_at(moment);
            let place = scene.place(moment);
            let mut rng = ChaCha8Rng::seed_from_u64(self.bench.rng.next_u64());
            let mut loss = PowerLoss::new(EXHAUSTIVE, SAMPLES, &mut rng);
            let looked = loss.crash_states(recording, moment..moment + 1, |_, outcome| {
                let Outcome { disk, answers } = outcome;
                let state = (&disk, &*events);
                match self.examine(scene, (moment, &place, answers), state, tally) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(halt) => ControlFlow::Break(halt),
                }
            });
            tally.moments += loss.moments;
            tally.moments_exhausted += loss.exhausted;
            if let ControlFlow::Break(halt) = looked {
                return Err(halt);
            }
            if self.is_over() || tally.crash_states >= until {
                break;
            }
        }
        Ok(())
    }

    /// The torture ends, or the row's time is over.
    pub(super) fn is_over(&self) -> bool {
        let is_late = |deadline| Instant::now() > deadline;
        self.stop.is_set() || self.deadline.is_some_and(is_late)
    }

    /// Counts a disk and what was announced before it, and says whether it was not looked at yet.
    pub(super) fn is_new(&mut self, disk: &Disk, events: &[Event], tally: &mut Tally) -> bool {
        let mut hasher = DefaultHasher::new();
        (disk.fingerprint(), events).hash(&mut hasher);
        let is_new = self.seen.insert(hasher.finish());
        tally.crash_states += u64::from(is_new);
        tally.duplicates += u64::from(!is_new);
        is_new
    }

    /// Recovers what a power cut leaves, and asks the oracle.
    fn examine(
        &mut self,
        scene: &Scene<'_>,
        (moment, place, answers): (usize, &Place, &dyn Fn() -> Vec<u32>),
        (disk, events): (&Disk, &[Event]),
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        if !self.is_new(disk, events, tally) {
            return Ok(());
        }
        tally.reached.count(place, shape_of_disk(disk));
        self.bench.lay_out(disk)?;
        match self.bench.recovered(events, tally)? {
            Ok(_) => Ok(()),
            Err(violation) => {
                let life = scene.ended(moment, End::PowerLoss(answers()));
                self.broken(life, events.to_vec(), violation, tally)
            }
        }
    }

    /// Recovers under trace what a crash leaves.
    pub(super) fn recover_traced(
        &mut self,
        scene: &Scene<'_>,
        (moment, end): (usize, End),
        tally: &mut Tally,
    ) -> Result<Recovery, Halt> {
        let crash = scene.ended(moment, end);
        let disk = crash.crashed(&scene.recording.disk_at(moment));
        let known = scene.recording.announced_at(moment);
        let close = self.bench.rng.random_bool(0.2);
        let recording =
            self.bench
                .record(Run::Recover { close }, disk, known.clone(), None, tally)?;
        tally.recoveries_traced += 1;
        let failed = recording.failed.clone();
        let verdict = match (failed, &recording.recovered) {
            (Some(violation), _) => Err(violation),
            (None, Some(survivors)) => self.bench.store.check(&known, survivors),
            (None, None) => Ok(()),
        };
        Ok(Recovery {
            crash,
            known,
            recording,
            verdict,
        })
    }

    /// The same, with crashes in the middle of the recovery, and after a kill.
    fn recover(
        &mut self,
        scene: &Scene<'_>,
        crash: (usize, End),
        tally: &mut Tally,
    ) -> Result<Option<Recovery>, Halt> {
        let recovery = self.recover_traced(scene, crash, tally)?;
        if let Err(violation) = recovery.verdict {
            self.broken(recovery.crash, recovery.known, violation, tally)?;
            return Ok(None);
        }
        tally.recoveries_crashed += 1;
        let crash = recovery.crash.clone();
        self.lives.as_mut().expect("begun").lives.push(crash);
        let inner = Scene::of_recovery(&recovery.recording);
        let looked = self.look(&inner, RECOVERY_STATES_MAX, tally);
        self.lives.as_mut().expect("begun").lives.pop();
        looked?;
        Ok(Some(recovery))
    }

    /// The next generation opens what a recovery has left. Where one fails, and that is not what is looked for,
    /// another crash is drawn.
    pub(super) fn go_on(&mut self, scene: &Scene<'_>, tally: &mut Tally) -> Result<(), Halt> {
        for _ in 0..CRASHES_MAX {
            let Some(crash) = self.draw_crash(scene) else {
                break;
            };
            if let Some(recovery) = self.recover(scene, crash, tally)? {
                self.begin_after(recovery);
                return Ok(());
            }
        }
        self.lives = None;
        Ok(())
    }

    /// The same after a recovery that kept the promises.
    pub(super) fn begin_after(&mut self, recovery: Recovery) {
        let Recovery {
            crash,
            known,
            recording,
            ..
        } = recovery;
        let Some(survivors) = &recording.recovered else {
            self.lives = None;
            return;
        };
        // What it showed may never be lost, what it did not show may never come back.
        self.bench.store.advance(&known, survivors);
        self.past = Past::showing(survivors.clone());
        let last = recording.moments() - 1;
        let inner = Scene::of_recovery(&recording);
        let lives = self.lives.as_mut().expect("begun");
        lives.lives.push(crash);
        lives.lives.push(inner.ended(last, End::Kill));
        self.disk = recording.past.disk().clone();
        if self.bench.store.next_base() == NextBase::Recovered {
            // A checker reads what is there and promises nothing: what it has shown without a sync may be
            // lost by the rules of its store. It is taken to be durable from now on.
            self.disk.settle();
            lives.lives.push(Life::settling());
        }
        self.seen.clear();
    }

    /// Counts a broken promise. Ends the round if it is what is looked for; else keeps the first of its
    /// class.
    pub(super) fn broken(
        &mut self,
        life: Life,
        events: Vec<Event>,
        violation: Violation,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        tally.violated(&violation);
        let class = violation.class();
        let ends = self.sought.ends_with(&violation);
        if !self.found.contains_key(&class) && !self.sought.passes_over(&violation) {
            let finding = self.finding(life, events, violation, tally)?;
            self.found
                .insert(class, Found::now(finding, tally.crash_states));
        }
        if ends { Err(Halt::Found) } else { Ok(()) }
    }

    fn finding(
        &mut self,
        life: Life,
        events: Vec<Event>,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        let mut lives = self.lives.clone().expect("begun");
        lives.lives.push(life);
        let mut controlled = if lives.is_damaged() {
            INTACT_KEEPS_ITS_PROMISES.to_owned()
        } else {
            kill_control(&lives, &violation, &events, |disk, events| {
                self.bench.lay_out(disk)?;
                Ok(self.bench.recovered(events, tally)?.err())
            })?
        };
        let has_failed = |life: &Life| life.faulted().is_some();
        if lives.lives.last().is_some_and(has_failed) {
            writeln!(
                controlled,
                "Control: {} crash states of a run on a disk that did not fail broke no promise.",
                self.well_states
            )
            .expect("a string takes everything");
        }
        let image = self.image.join(self.found.len().to_string());
        let failure = Failure {
            lives: &lives,
            past: &self.past,
            crash: self.crash,
            violation,
            events,
            control: &controlled,
        };
        failure.keep(&mut *self.bench.store, &image)
    }
}

/// What a recovery finds on a disk.
pub(super) fn shape_of_disk(disk: &Disk) -> u64 {
    let tree = disk.tree(false);
    let is_empty = |ino| disk.file(ino).is_ok_and(|file| file.live.len() == 0);
    shape_of(
        tree.iter()
            .map(|(path, ino)| (path.trim_start_matches('/'), is_empty(*ino))),
    )
}
