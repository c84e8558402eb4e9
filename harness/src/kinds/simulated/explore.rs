//! The crash states of a life: at every operation, every outcome, or as many as the effort allows.

use std::ops::ControlFlow;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::search::{Failure, Halt, Search};
use super::timeline::{End, Life, Step};
use super::world::{Lived, World};
use crate::kinds::sought::Sought;
use crate::loss::{LossModel, Outcome, PowerLoss};
use crate::oracle::Violation;
use crate::reached::{BROKEN, Place};
use crate::recorder::{Recorder, Recording as _};
use crate::sim::{Disk, Fault, Sampler};
use crate::tally::Tally;
use crate::workload::Workload;

/// How often a writer, and not a reader, opens what a crash left.
const WRITES_ON: f64 = 0.2;
/// The same after a kill right behind an error: what that left is used by a writer, if at all.
const WRITES_ON_BEHIND_ERRORS: f64 = 0.5;
/// The number of errors in each life behind which the process is killed, at once and one operation later.
const BEHIND_ERRORS_MAX: usize = 2;
/// In each life, the number of states after which recovery did something unusual and from which another
/// life starts.
const UNUSUAL_MAX: usize = 6;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// The largest number of outcomes of a moment of which every one is looked at.
    pub(crate) exhaustive: usize,
    /// The number of outcomes drawn at the other moments; three times as many right before a sync.
    pub(crate) samples: usize,
    /// The number of crash states that are recovered with a crash in the middle.
    pub(crate) nested: usize,
    /// The number of moments at which the process is killed instead, recovers, and then loses power.
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
        kills: 6,
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

/// Goes through the crash states of lives.
pub(crate) struct Explorer<'t> {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) search: Search<'t>,
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

impl<'t> Explorer<'t> {
    pub(crate) fn new(rng: ChaCha8Rng, sought: Sought, tally: &'t mut Tally) -> Self {
        Self {
            rng,
            search: Search::new(sought, tally),
        }
    }

    /// Lives a life and looks at its crash states; if the disk fails, those from the first error on.
    pub(crate) fn life(
        &mut self,
        world: &World<'_>,
        life: &Life,
        faults: &[Fault],
        effort: Effort,
    ) -> Result<Lived, Halt> {
        let mut seam = world;
        let lived = seam.record((life, faults))?;
        let scene = Scene {
            world,
            life,
            faults,
            lived: &lived,
            effort,
        };
        self.search.tally.calls += lived.recording.operations.len() as u64;
        self.search.tally.faults += u64::from(lived.faults);
        let is_recovery = matches!(life, Life::Recover { .. });
        if let Err(violation) = world.judge(life, &lived) {
            let step = scene.step(None, End::Kill);
            let failure = scene.failure(step, violation);
            // What a recovery has shown must hold from now on: where it is wrong, nothing follows.
            if is_recovery {
                return Err(Halt::Failed(failure));
            }
            self.search.found(failure)?;
        }
        if lived.is_too_early() {
            return Ok(lived);
        }
        let workloads = world.workloads_during(life);
        self.search.epoch += 1;
        let last = lived.recording.gaps.len() - 1;
        let has_shown = is_recovery && lived.result.is_ok();
        let end = if has_shown { last } else { last + 1 };
        let mut unusual = Vec::new();
        for gap in lived.interesting_from.min(last)..end {
            let events = world.events_at(life, &lived, gap);
            let look = |disk: Disk| world.examine(disk, &events, &workloads);
            let cuts = self.outcomes(&scene, Some(gap), events.len(), look)?;
            unusual.extend(cuts.into_iter().map(|answers| (gap, answers)));
        }
        if has_shown {
            // What it has shown must survive from now on.
            let after = world.after(&lived, scene.step(None, End::Kill));
            self.search.epoch += 1;
            self.search.tally.recoveries_crashed += 1;
            let look = |disk: Disk| after.examine(disk, &after.events, &after.workloads);
            self.outcomes(&scene, None, 0, look)?;
        }
        self.below(&scene, unusual)?;
        Ok(lived)
    }

    /// Looks at the outcomes of a power cut at a gap, or in the end. Returns those after which recovery
    /// does what none did before.
    fn outcomes(
        &mut self,
        scene: &Scene<'_, '_>,
        until: Option<usize>,
        known: usize,
        look: impl Fn(Disk) -> Result<(usize, u64), Violation>,
    ) -> Result<Vec<Vec<u32>>, Halt> {
        let Self { rng, search } = self;
        let gap = until.unwrap_or(scene.lived.recording.gaps.len() - 1);
        let can_follow = scene.effort.depth > 0;
        let mut unusual = Vec::new();
        let place = scene.place(gap);
        let mut loss = PowerLoss::new(scene.effort.exhaustive, scene.effort.samples, rng);
        let looked = loss.crash_states(scene.lived, gap..gap + 1, |_, outcome| {
            let Outcome { disk, answers } = outcome;
            if !search.is_new(disk.fingerprint(), known) {
                return ControlFlow::Continue(());
            }
            let broken = match look(disk) {
                Ok((survivors, trail)) => {
                    search.tally.recovered += survivors as u64;
                    search.tally.reached.count(&place, trail);
                    if can_follow && search.is_unusual(trail) {
                        unusual.push(answers());
                    }
                    Ok(())
                }
                Err(violation) => {
                    search.tally.reached.count(&place, BROKEN);
                    search.broken(violation, |violation| {
                        let step = scene.step(until, End::PowerLoss(answers()));
                        scene.failure(step, violation)
                    })
                }
            };
            match broken {
                Ok(()) => ControlFlow::Continue(()),
                Err(halt) => ControlFlow::Break(halt),
            }
        });
        search.tally.moments += loss.moments;
        search.tally.moments_exhausted += loss.exhausted;
        match looked {
            ControlFlow::Continue(()) => Ok(unusual),
            ControlFlow::Break(halt) => Err(halt),
        }
    }

    /// Crashes in the recovery after a crash, and power loss after a kill and a recovery. Now and then
    /// there is no reader in between: the next writer opens what the crash left at
    /// once; more often where that makes recovery do something unusual.
    fn below(&mut self, scene: &Scene<'_, '_>, unusual: Vec<Cut>) -> Result<(), Halt> {
        if scene.effort.depth == 0 {
            return Ok(());
        }
        // A process that dies right behind an error has cleaned nothing up: the next one finds what is half
        // done, and bytes that memory shows and no sync writes any more.
        // One operation later it has begun to: what it undoes is gone from memory, and not from the disk.
        let last = scene.lived.recording.gaps.len() - 1;
        let behind = scene.lived.recording.behind_injected();
        let mut moments: Vec<(usize, End, f64)> = behind
            .filter(|gap| *gap >= scene.lived.interesting_from)
            .take(scene.effort.kills.min(BEHIND_ERRORS_MAX))
            .flat_map(|gap| [gap, gap + 1])
            .filter(|gap| *gap <= last)
            .map(|gap| (gap, End::Kill, WRITES_ON_BEHIND_ERRORS))
            .collect();
        for number in moments.len()..scene.effort.nested + scene.effort.kills {
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
                    // A reader has looked before: what that showed stays, what it cut stays away.
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
                self.search.tally.recoveries_crashed += 1;
                Life::Recover { close }
            };
            match self.life(&world, &life, &[], scene.effort.below()) {
                Ok(_) => {}
                Err(halt) => self.search.found(halt.failure()?)?,
            }
        }
        Ok(())
    }

    /// A moment to go on from; after an error of the disk, often one of those right behind it: before
    /// the store reacts, in between, or before it has made durable what it did.
    pub(crate) fn draw_gap(&mut self, lived: &Lived) -> usize {
        let last = lived.recording.gaps.len() - 1;
        let from = lived.interesting_from.min(last);
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
        End::PowerLoss(sampler.answers())
    }
}

impl Scene<'_, '_> {
    /// Where a crash at a moment comes.
    fn place(&self, gap: usize) -> Place {
        Place::of(self.life.process(), self.lived.next_call(gap).as_ref())
    }

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
