//! The crash states of a life: at every operation, every outcome, or as many as the effort allows.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Instant;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::timeline::{End, Life, Step, Timeline};
use super::world::{Lived, World};
use crate::crash::Sought;
use crate::history::Event;
use crate::oracle::Violation;
use crate::sim::{Disk, Fault, Odometer, Sampler};
use crate::tally::Tally;
use crate::workload::Workload;

/// How often a writer, and not a reader, opens what a crash left.
const WRITES_ON: f64 = 0.2;
/// In each life, so many of the states that recovery found unusual are gone on from.
const UNUSUAL_MAX: usize = 6;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Where a moment has no more outcomes than these, all of them.
    pub(crate) exhaustive: usize,
    /// Elsewhere so many drawn ones, and three times as many right before a sync.
    pub(crate) samples: usize,
    /// So many crash states are recovered with a crash in the middle.
    pub(crate) nested: usize,
    /// At so many moments the process is killed instead, recovers, and then the power is lost.
    pub(crate) kills: usize,
    /// How deep crashes in recovery may lie in each other.
    pub(crate) depth: usize,
}

impl Effort {
    /// For a writer's life.
    pub(crate) const WRITER: Self = Self {
        exhaustive: 64,
        samples: 16,
        nested: 6,
        kills: 6,
        depth: 2,
    };

    /// For a recovery, which every writer's life begins with, too.
    pub(crate) const RECOVERY: Self = Self {
        exhaustive: 32,
        samples: 8,
        nested: 1,
        kills: 1,
        depth: 1,
    };

    /// For a life in which the disk fails, from the first error on.
    pub(crate) const FAULTY: Self = Self {
        exhaustive: 24,
        samples: 6,
        nested: 1,
        kills: 4,
        depth: 1,
    };

    /// When a failure is looked for again: every moment, and nothing below.
    pub(crate) const SEARCH: Self = Self {
        exhaustive: 128,
        samples: 24,
        nested: 0,
        kills: 0,
        depth: 0,
    };

    /// Everything below a crash in recovery.
    fn below(self) -> Self {
        Self {
            depth: self.depth - 1,
            ..Self::RECOVERY
        }
    }
}

/// A broken promise, and how to come to it again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) timeline: Timeline,
    pub(crate) violation: Violation,
    /// What had been announced.
    pub(crate) events: Vec<Event>,
    /// As it was before recovery.
    pub(crate) disk: Disk,
}

/// A failure, and when it was found.
pub(crate) struct Kept {
    pub(crate) failure: Box<Failure>,
    /// States that had been looked at by then.
    pub(crate) states: u64,
    pub(crate) at: Instant,
}

/// Goes through crash states and remembers which it has seen.
pub(crate) struct Explorer<'t> {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) tally: &'t mut Tally,
    sought: Sought,
    /// What was found beside the failure that ends it: of each class the first.
    pub(crate) failures: BTreeMap<String, Kept>,
    /// Bytes on disk and what was known then.
    seen: HashSet<u64>,
    /// Counts recoveries that have come to their end: after each, the same bytes mean something else.
    epoch: u64,
    /// What recoveries have done, by the kinds of operations.
    trails: HashSet<u64>,
}

/// A moment and what a power cut takes there.
type Cut = (usize, Vec<u32>);

/// A life and where it began.
#[derive(Clone, Copy)]
struct Scene<'w, 'a> {
    world: &'w World<'a>,
    life: &'w Life,
    faults: &'w [Fault],
    lived: &'w Lived,
    effort: Effort,
}

type Explored<T> = io::Result<Result<T, Box<Failure>>>;

macro_rules! explored {
    ($explored:expr) => {
        match $explored {
            Ok(value) => value,
            Err(failure) => return Ok(Err(failure)),
        }
    };
}

impl<'t> Explorer<'t> {
    pub(crate) fn new(rng: ChaCha8Rng, sought: Sought, tally: &'t mut Tally) -> Self {
        Self {
            sought,
            rng,
            tally,
            failures: BTreeMap::new(),
            seen: HashSet::new(),
            epoch: 0,
            trails: HashSet::new(),
        }
    }

    /// Ends with a failure, if it is what is looked for; else keeps the first of its class.
    pub(crate) fn found(&mut self, failure: Box<Failure>) -> Result<(), Box<Failure>> {
        if self.sought.ends_with(&failure.violation) {
            return Err(failure);
        }
        self.keep(failure);
        Ok(())
    }

    /// Counts a failure, and keeps the first of its class.
    pub(crate) fn keep(&mut self, failure: Box<Failure>) {
        self.tally.violated(&failure.violation);
        let class = failure.violation.class();
        let states = self.tally.crash_states;
        self.failures.entry(class).or_insert_with(|| Kept {
            failure,
            states,
            at: Instant::now(),
        });
    }

    /// Lives a life and looks at its crash states; if the disk fails, those from the first error on.
    pub(crate) fn life(
        &mut self,
        world: &World<'_>,
        life: &Life,
        faults: &[Fault],
        effort: Effort,
    ) -> Explored<Lived> {
        let lived = world.live(life, faults)?;
        let from = lived.interesting_from();
        let scene = Scene {
            world,
            life,
            faults,
            lived: &lived,
            effort,
        };
        self.tally.calls += lived.recording.operations.len() as u64;
        self.tally.faults += u64::from(lived.faults);
        if let Err(violation) = world.judge(life, &lived) {
            let step = scene.step(None, End::Kill);
            let failure = scene.failure(step, violation);
            // What a recovery has shown must hold from now on: where it is wrong, nothing follows.
            if matches!(life, Life::Recover { .. }) {
                return Ok(Err(failure));
            }
            explored!(self.found(failure));
        }
        let workloads = world.workloads_during(life);
        self.epoch += 1;
        let last = lived.recording.gaps.len() - 1;
        let mut unusual = Vec::new();
        for gap in from.min(last)..=last {
            let events = world.events_at(life, &lived, gap);
            let is_shown =
                gap == last && matches!(life, Life::Recover { .. }) && lived.result.is_ok();
            if is_shown {
                break;
            }
            let look = |disk: Disk| world.examine(disk, &events, &workloads);
            let cuts = explored!(self.outcomes(&scene, Some(gap), events.len(), look));
            unusual.extend(cuts.into_iter().map(|answers| (gap, answers)));
        }
        if matches!(life, Life::Recover { .. }) && lived.result.is_ok() {
            // What it has shown must survive from now on.
            let after = world.after(&lived, scene.step(None, End::Kill));
            self.epoch += 1;
            self.tally.recoveries_crashed += 1;
            let look = |disk: Disk| after.examine(disk, &after.events, &after.workloads);
            explored!(self.outcomes(&scene, None, 0, look));
        }
        explored!(self.below(&scene, unusual)?);
        Ok(Ok(lived))
    }

    /// Looks at the outcomes of a power cut at a gap, or in the end. Returns those after which recovery
    /// does what none did before.
    fn outcomes(
        &mut self,
        scene: &Scene<'_, '_>,
        until: Option<usize>,
        known: usize,
        look: impl Fn(Disk) -> Result<(usize, u64), Violation>,
    ) -> Result<Vec<Vec<u32>>, Box<Failure>> {
        let gaps = &scene.lived.recording.gaps;
        let gap = until.unwrap_or(gaps.len() - 1);
        let disk = &gaps[gap].disk;
        self.tally.moments += 1;
        let mut unusual = Vec::new();
        let can_follow = scene.effort.depth > 0;
        let mut odometer = Odometer::default();
        for _ in 0..scene.effort.exhaustive {
            let crashed = disk.crash(&mut odometer);
            match self.examine(crashed, known, &look, can_follow) {
                Ok(is_unusual) => unusual.extend(is_unusual.then(|| odometer.answers())),
                Err(violation) => self.lost(scene, until, odometer.answers(), violation)?,
            }
            if !odometer.advance() {
                self.tally.moments_exhausted += 1;
                return Ok(unusual);
            }
        }
        let before_sync = scene.lived.recording.is_sync(gap);
        let draws = scene.effort.samples * if before_sync { 3 } else { 1 };
        for _ in 0..draws {
            let mut sampler = Sampler::new(ChaCha8Rng::seed_from_u64(self.rng.next_u64()));
            let crashed = disk.crash(&mut sampler);
            match self.examine(crashed, known, &look, can_follow) {
                Ok(is_unusual) => unusual.extend(is_unusual.then(|| sampler.into_answers())),
                Err(violation) => self.lost(scene, until, sampler.into_answers(), violation)?,
            }
        }
        Ok(unusual)
    }

    /// A power cut that breaks a promise.
    fn lost(
        &mut self,
        scene: &Scene<'_, '_>,
        until: Option<usize>,
        answers: Vec<u32>,
        violation: Violation,
    ) -> Result<(), Box<Failure>> {
        if self.failures.contains_key(&violation.class()) {
            self.tally.violated(&violation);
            return Ok(());
        }
        let step = scene.step(until, End::PowerLoss(answers));
        self.found(scene.failure(step, violation))
    }

    fn examine(
        &mut self,
        crashed: Disk,
        known: usize,
        look: &impl Fn(Disk) -> Result<(usize, u64), Violation>,
        can_follow: bool,
    ) -> Result<bool, Violation> {
        if !self.is_new(crashed.fingerprint(), known) {
            return Ok(false);
        }
        let (survivors, trail) = look(crashed)?;
        self.tally.recovered += survivors as u64;
        Ok(can_follow && self.trails.insert(trail))
    }

    /// Counts a state that is about to be looked at, with so many events announced; `false` if the
    /// same bytes have been, by somebody who knew the same.
    pub(crate) fn is_new(&mut self, bytes: u64, known: usize) -> bool {
        // Different numbers are spread over all 64 bits.
        let knowledge = (self.epoch << 32 | known as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let is_new = self.seen.insert(bytes ^ knowledge);
        if is_new {
            self.tally.crash_states += 1;
        } else {
            self.tally.duplicates += 1;
        }
        is_new
    }

    /// Crashes in the recovery after a crash, and power loss after a kill and a recovery. Now and then
    /// nobody just looks: the next writer finds what the crash left, and goes on with it at once; more
    /// often where that makes recovery do something unusual.
    fn below(&mut self, scene: &Scene<'_, '_>, unusual: Vec<Cut>) -> Explored<()> {
        if scene.effort.depth == 0 {
            return Ok(Ok(()));
        }
        let mut moments: Vec<(usize, End, f64)> = Vec::new();
        for number in 0..scene.effort.nested + scene.effort.kills {
            let gap = self.draw_gap(scene.lived);
            let end = if number < scene.effort.kills {
                End::Kill
            } else {
                self.draw_loss(&scene.lived.recording.gaps[gap].disk)
            };
            moments.push((gap, end, WRITES_ON));
        }
        // The last ones found are the most unusual.
        let unusual = unusual.into_iter().rev().take(UNUSUAL_MAX);
        moments.extend(unusual.map(|(gap, answers)| (gap, End::PowerLoss(answers), 0.5)));
        for (gap, end, writes_on) in moments {
            let step = scene.step(Some(gap), end);
            let mut world = scene.world.after(scene.lived, step);
            let life = if self.rng.random_bool(writes_on) {
                if self.rng.random_bool(0.5) {
                    // Somebody has looked before: what that showed stays, what it cut stays away.
                    let life = Life::Recover { close: false };
                    let recovered = world.live(&life, &[])?;
                    let step = Step {
                        life,
                        faults: Vec::new(),
                        until: None,
                        end: End::Kill,
                    };
                    world = world.after(&recovered, step);
                }
                let generation = world.generations();
                Life::Write(Workload::draw_tiny(&mut self.rng, generation))
            } else {
                let close = self.rng.random_bool(0.2);
                self.tally.recoveries_crashed += 1;
                Life::Recover { close }
            };
            if let Err(failure) = self.life(&world, &life, &[], scene.effort.below())? {
                explored!(self.found(failure));
            }
        }
        Ok(Ok(()))
    }

    /// A moment to go on from; after an error of the disk, often one of those right behind it: before
    /// the store reacts, in between, or before it has made durable what it did.
    pub(crate) fn draw_gap(&mut self, lived: &Lived) -> usize {
        let last = lived.recording.gaps.len() - 1;
        let from = lived.interesting_from().min(last);
        if from > 0 && self.rng.random_bool(0.3) {
            return (from + self.rng.random_range(1..4)).min(last);
        }
        // Right before a sync most is pending.
        let recording = &lived.recording;
        let before_syncs: Vec<usize> = (from..last).filter(|gap| recording.is_sync(*gap)).collect();
        if !before_syncs.is_empty() && self.rng.random_bool(0.5) {
            return before_syncs[self.rng.random_range(0..before_syncs.len())];
        }
        self.rng.random_range(from..=last)
    }

    /// A power cut, drawn.
    pub(crate) fn draw_loss(&mut self, disk: &Disk) -> End {
        let mut sampler = Sampler::new(ChaCha8Rng::seed_from_u64(self.rng.next_u64()));
        disk.crash(&mut sampler);
        End::PowerLoss(sampler.into_answers())
    }
}

impl Scene<'_, '_> {
    fn step(&self, until: Option<usize>, end: End) -> Step {
        Step {
            life: self.life.clone(),
            faults: self.faults.to_vec(),
            until,
            end,
        }
    }

    fn failure(&self, step: Step, violation: Violation) -> Box<Failure> {
        let after = self.world.after(self.lived, step);
        Box::new(Failure {
            timeline: after.timeline,
            violation,
            events: after.events,
            disk: after.disk,
        })
    }
}
