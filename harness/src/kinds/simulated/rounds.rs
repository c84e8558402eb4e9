//! One round: generations on one disk, and what crashes, errors and damage make of them.

use std::ops::ControlFlow;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::decay::{Decayed, examine_damaged, moments_of};
use super::explore::{Effort, Explorer};
use super::search::{Failure, Halt};
use super::timeline::{End, Life, Step, Timeline};
use super::world::{Lived, World};
use crate::loss::{LossModel, Rot, Rotten};
use crate::reached::{BROKEN, Place, Process};
use crate::recorder::Recording as _;
use crate::sim::{Fault, FaultKind};
use crate::workload::Workload;

/// Generations on one disk before a round is over.
const GENERATIONS: u32 = 3;
/// Crashes drawn to continue behind, if recovery fails after each of them.
const CRASHES_MAX: usize = 4;
/// Plans of errors tried on each generation.
const FAULT_PLANS: usize = 10;
/// And on each recovery.
const RECOVERY_FAULT_PLANS: usize = 5;
/// How often an error is a failed sync of a file, besides its share among all kinds.
const SYNC_FAILS: f64 = 0.3;
/// How often a short write is followed by another short write.
const SHORT_TWICE: f64 = 0.5;
/// How often what has rotted is recovered once more, from a disk of which a read fails.
const READ_FAILS: f64 = 0.3;
/// More than a recovery of a small store reads.
const READS: u32 = 16;
/// Damaged copies of each state that a generation of `rot` leaves.
const DAMAGED: usize = 120;

/// What one round has to go by.
pub(super) struct Round<'r, 'a> {
    pub(super) explorer: Explorer<'r>,
    pub(super) world: World<'a>,
    /// Errors of the disk that are asked for; drawn if there are none.
    pub(super) planned: Vec<Fault>,
}

impl<'a> Round<'_, 'a> {
    fn draw_workload(&mut self) -> Workload {
        let generation = self.world.generations();
        Workload::draw_tiny(&mut self.explorer.rng, generation)
    }

    /// Counts what a writer announced in all of its life.
    fn count(&mut self, life: &Life, lived: &Lived) {
        let last = lived.recording.gaps.len() - 1;
        let announced = self.world.events_at(life, lived, last);
        let before = self.world.events.len();
        self.explorer.search.tally.count_run(&announced[before..]);
    }

    /// Lets a life end somewhere, by a kill or a power cut, and continues there.
    fn crash(&mut self, life: Life, faults: Vec<Fault>, lived: &Lived) {
        self.world = self.crashed(life, faults, lived);
    }

    /// What a life leaves that ends somewhere, by a kill or a power cut.
    fn crashed(&mut self, life: Life, faults: Vec<Fault>, lived: &Lived) -> World<'a> {
        let gaps = &lived.recording.gaps;
        let last = gaps.len() - 1;
        let gap = self.explorer.draw_gap(lived);
        self.explorer.search.tally.killed_mid_work += u64::from(gap < last);
        let end = if self.explorer.rng.random_bool(0.4) {
            End::Kill
        } else {
            self.explorer.draw_loss(&gaps[gap].disk)
        };
        let step = Step {
            life,
            faults,
            until: Some(gap),
            end,
        };
        self.world.after(lived, step)
    }

    /// Recovers to the end, with crashes on the way, and continues there.
    fn recover(&mut self) -> Result<(), Halt> {
        let close = self.explorer.rng.random_bool(0.2);
        let life = Life::Recover { close };
        let effort = Effort::RECOVERY;
        let lived = self.explorer.life(&self.world, &life, &[], effort)?;
        let end = if self.explorer.rng.random_bool(0.5) {
            End::Kill
        } else {
            let last = lived
                .recording
                .gaps
                .last()
                .expect("there is one after the last");
            self.explorer.draw_loss(&last.disk)
        };
        let step = Step {
            life,
            faults: Vec::new(),
            until: None,
            end,
        };
        self.world = self.world.after(&lived, step);
        Ok(())
    }

    /// Power loss at every operation of every life.
    pub(super) fn power(&mut self) -> Result<(), Halt> {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let effort = Effort::WRITER;
            let lived = self.explorer.life(&self.world, &life, &[], effort)?;
            self.count(&life, &lived);
            if !self.crash_and_recover(&life, &lived)? {
                break;
            }
        }
        Ok(())
    }

    /// Continues behind a crash. Where recovery fails, and that is not what is looked for, another crash is
    /// drawn; whether one of them led on.
    fn crash_and_recover(&mut self, life: &Life, lived: &Lived) -> Result<bool, Halt> {
        // Nothing follows a life that is passed over.
        let tries = if lived.is_too_early() { 0 } else { CRASHES_MAX };
        for _ in 0..tries {
            let crashed = self.crashed(life.clone(), Vec::new(), lived);
            let before = std::mem::replace(&mut self.world, crashed);
            match self.recover() {
                Ok(()) => return Ok(true),
                Err(halt) => self.explorer.search.found(halt.failure()?)?,
            }
            self.world = before;
        }
        Ok(false)
    }

    /// Errors of the disk; then everything as above, from the first error on.
    pub(super) fn fault(&mut self) -> Result<(), Halt> {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let well = self.world.live(&life, &[])?;
            let mut last = None;
            for _ in 0..FAULT_PLANS {
                let faults = self.draw_faults(&well);
                let effort = Effort::FAULTY;
                match self.explorer.life(&self.world, &life, &faults, effort) {
                    Ok(lived) => {
                        self.count(&life, &lived);
                        if !lived.is_too_early() {
                            last = Some((faults, lived));
                        }
                    }
                    Err(halt) => self.explorer.search.found(halt.failure()?)?,
                }
            }
            let Some((faults, lived)) = last else {
                return Ok(());
            };
            self.crash(life, faults, &lived);
            self.faulty_recovery()?;
            self.recover()?;
        }
        Ok(())
    }

    /// One or two errors that a run like this one meets. A short write may be followed by another one: the
    /// rest comes out short as well.
    fn draw_faults(&mut self, well: &Lived) -> Vec<Fault> {
        if !self.planned.is_empty() {
            return self.planned.clone();
        }
        let rng = &mut self.explorer.rng;
        let count = rng.random_range(1..3);
        let draw = |_| {
            // What follows a failed sync is what stores know least of.
            let is_sync = rng.random_bool(SYNC_FAILS);
            let kind = match FaultKind::ALL[rng.random_range(0..FaultKind::ALL.len())] {
                _ if is_sync => FaultKind::Sync,
                FaultKind::NoSpace { .. } => FaultKind::NoSpace {
                    lasting: rng.random_range(1..6),
                },
                kind => kind,
            };
            let after = rng.random_range(0..well.recording.count(kind).max(1));
            Fault {
                kind,
                after: u32::try_from(after).expect("a short run"),
            }
        };
        let mut faults: Vec<Fault> = (0..count).map(draw).collect();
        let short = faults.iter().find(|f| f.kind == FaultKind::ShortWrite);
        if let Some(short) = short.copied()
            && self.explorer.rng.random_bool(SHORT_TWICE)
        {
            let after = short.after + 1;
            faults.push(Fault { after, ..short });
        }
        faults
    }

    /// The disk fails while the store recovers. It may refuse, and loses nothing by that.
    fn faulty_recovery(&mut self) -> Result<(), Halt> {
        let life = Life::Recover { close: false };
        let well = self.world.live(&life, &[])?;
        let mut last = None;
        for _ in 0..RECOVERY_FAULT_PLANS {
            let faults = self.draw_faults(&well);
            let effort = Effort::FAULTY;
            match self.explorer.life(&self.world, &life, &faults, effort) {
                Ok(lived) => last = Some((faults, lived)),
                Err(halt) => self.explorer.search.found(halt.failure()?)?,
            }
        }
        let Some((faults, lived)) = last else {
            return Ok(());
        };
        let step = Step {
            life,
            faults,
            until: None,
            end: End::Kill,
        };
        self.world = self.world.after(&lived, step);
        Ok(())
    }

    /// Damage to what crashes and orderly ends leave.
    pub(super) fn rot(&mut self) -> Result<(), Halt> {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let lived = self.well(&life)?;
            self.count(&life, &lived);
            if lived.is_too_early() {
                return Ok(());
            }
            self.crash(life, Vec::new(), &lived);
            let last = self.world.timeline.steps.last().expect("just pushed");
            if let End::PowerLoss(_) = last.end {
                self.decay(&lived)?;
            }
            // Closed in order: if something is pending, it may be lost.
            let life = Life::Recover { close: true };
            let lived = self.well(&life)?;
            let last = lived.recording.gaps.last();
            let last = last.expect("there is one after the last");
            let step = Step {
                life,
                faults: Vec::new(),
                until: None,
                end: self.explorer.draw_loss(&last.disk),
            };
            self.world = self.world.after(&lived, step);
            self.decay(&lived)?;
        }
        Ok(())
    }

    /// Lives a life on a disk that works, and looks at none of its crash states.
    fn well(&mut self, life: &Life) -> Result<Lived, Halt> {
        let lived = self.world.live(life, &[])?;
        let Err(violation) = self.world.judge(life, &lived) else {
            return Ok(lived);
        };
        let step = Step {
            life: life.clone(),
            faults: Vec::new(),
            until: None,
            end: End::Kill,
        };
        let after = self.world.after(&lived, step);
        Err(Halt::Failed(Box::new(Failure {
            timeline: after.timeline,
            violation,
            events: after.events,
            disk: after.disk,
        })))
    }

    /// Damages what is left, again and again.
    fn decay(&mut self, lived: &Lived) -> Result<(), Halt> {
        let Self {
            explorer, world, ..
        } = self;
        let Explorer { rng, search } = explorer;
        let mut read_fails = ChaCha8Rng::seed_from_u64(rng.next_u64());
        let mut loss = Rot {
            disk: &world.disk,
            copies: DAMAGED,
            rng,
        };
        let last = world.timeline.steps.last();
        let process = last.map_or(Process::Writer, |step| step.life.process());
        let moments = moments_of(world, lived);
        let looked = loss.crash_states(lived, moments, |moment, rotten| {
            let Rotten { disk, damage } = rotten;
            if !search.is_new(disk.fingerprint(), world.events.len()) {
                return ControlFlow::Continue(());
            }
            // A disk whose sectors rot has some that it cannot read: what lies behind the damage, for example.
            let mut plans = vec![Vec::new()];
            if read_fails.random_bool(READ_FAILS) {
                plans.push(vec![Fault {
                    kind: FaultKind::Read,
                    after: read_fails.random_range(0..READS),
                }]);
            }
            let place = Place::of(process, lived.next_call(moment).as_ref());
            for recovery_faults in plans {
                let decayed = examine_damaged(world, &disk, &recovery_faults);
                if recovery_faults.is_empty() {
                    let came_of_it = decayed.as_ref().map_or(BROKEN, Decayed::number);
                    search.tally.reached.count(&place, came_of_it);
                }
                let violation = match decayed {
                    Err(violation) => violation,
                    Ok(decayed) if recovery_faults.is_empty() => {
                        match decayed {
                            Decayed::Served(entries) => search.tally.recovered += entries as u64,
                            Decayed::Refused => search.tally.detected += 1,
                            Decayed::Unprovable => search.tally.unprovable += 1,
                            Decayed::Unmet => {}
                        }
                        continue;
                    }
                    Ok(Decayed::Unmet) => continue,
                    Ok(_) => {
                        search.tally.faults += 1;
                        continue;
                    }
                };
                let failure = Box::new(Failure {
                    timeline: Timeline {
                        damage: damage.clone(),
                        recovery_faults,
                        ..world.timeline.clone()
                    },
                    violation,
                    events: world.events.clone(),
                    disk: disk.clone(),
                });
                if let Err(halt) = search.found(failure) {
                    return ControlFlow::Break(halt);
                }
            }
            ControlFlow::Continue(())
        });
        match looked {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(halt) => Err(halt),
        }
    }
}
