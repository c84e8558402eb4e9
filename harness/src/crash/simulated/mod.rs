//! `power`, `fault` and `rot`: everything on the simulated file system, in this process.
//!
//! A run is recorded once, with the disk before each of its operations; then any number of crash
//! states are made from it, recovered and checked, without running the writer again. A round begins
//! with an empty disk and depends on its number and the seed alone, so the same seed gives the same
//! rounds, however many threads share them.

mod explore;
mod shrink;
mod story;
mod timeline;
mod watch;
mod world;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use self::explore::{Effort, Explorer, Failure};
use self::shrink::Smallest;
use self::timeline::{End, Life, Step};
use self::watch::{About, Watch};
use self::world::{Bench, LastWords, Lived, World};
use crate::crash::{CrashKind, Found, Sought};
use crate::finding::Finding;
use crate::oracle::{self, Violation};
use crate::plan::{HANG_LIMIT, Plan};
use crate::scratch::remove_dir;
use crate::sim::{Disk, Fault, FaultKind, Gap, SyncFilter};
use crate::subject::Subject;
use crate::tally::Tally;
use crate::workload::{Workload, stream};

pub(crate) use self::timeline::Timeline;
pub(crate) use self::world::keep_panics_quiet;

/// Generations on one disk before a round is over.
const GENERATIONS: u32 = 3;
/// Plans of errors tried on each generation.
const FAULT_PLANS: usize = 10;
/// And on each recovery.
const RECOVERY_FAULT_PLANS: usize = 5;
/// Damaged copies of each of the states that a generation of `rot` comes to.
const DAMAGED: usize = 120;

/// Rounds of one kind, on one thread.
pub(crate) struct Lane<'a> {
    crash: CrashKind,
    bench: Bench<'a>,
    plan: &'a Plan,
    /// Where the disks of failures are laid out.
    image: PathBuf,
    row: u64,
    /// Classes of failures that have been told of.
    told: BTreeSet<String>,
}

/// What one round has to go by.
struct Round<'r, 'a> {
    explorer: Explorer<'r>,
    world: World<'a>,
}

/// Goes on after a failure if that is wanted, else ends the round with it.
macro_rules! broken {
    ($explorer:expr, $failure:expr) => {
        if let Err(failure) = $explorer.found($failure) {
            return Ok(Err(failure));
        }
    };
}

type Outcome = io::Result<Result<(), Box<Failure>>>;

impl<'a> Lane<'a> {
    /// # Panics
    /// If the subject does not run on the simulated file system.
    pub(crate) fn new(
        crash: CrashKind,
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        row: u64,
    ) -> Self {
        let store = subject.simulated().expect("it was asked before");
        Self {
            crash,
            bench: Bench {
                subject,
                store,
                watch: Watch::begin(About {
                    subject: subject.name().to_owned(),
                    crash,
                    seed: plan.seed,
                    limit: plan.hang_limit,
                    out: plan.out.clone(),
                }),
                filter: None,
            },
            plan,
            image: scratch.join(format!("{name}-image")),
            row,
            told: BTreeSet::new(),
        }
    }

    /// From now on, `filter` is asked before every sync whether to leave it out.
    pub(crate) fn filter_syncs(mut self, filter: Arc<dyn SyncFilter>) -> Self {
        self.bench.filter = Some(filter);
        self
    }

    /// One round, on a disk of its own.
    pub(crate) fn round(&mut self, number: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        let mut rng = stream(self.plan.seed, self.row << 32 | number);
        let engines = self.plan.simulated_engines_of(self.bench.subject);
        let profiles = self.plan.profiles();
        let timeline = Timeline {
            engine: engines[rng.random_range(0..engines.len())].to_owned(),
            profile: profiles[rng.random_range(0..profiles.len())],
            seed: rng.random_range(0..u64::MAX),
            steps: Vec::new(),
            damage: Vec::new(),
        };
        *tally.engines.entry(timeline.engine.clone()).or_default() += 1;
        tally.rounds += 1;
        let sought = Sought::by(self.plan, self.bench.subject);
        let mut round = Round {
            world: World::new(self.bench.clone(), timeline),
            explorer: Explorer::new(rng, sought.clone(), tally),
        };
        let outcome = match self.crash {
            CrashKind::Fault => round.fault(),
            CrashKind::Rot => round.rot(),
            _ => round.power(),
        };
        if let Err(failure) = outcome? {
            round.explorer.keep(failure);
        }
        let Explorer { failures, .. } = round.explorer;
        let about = (self.crash, self.plan.seed);
        let mut findings = Vec::new();
        // Each has a disk to be laid out. Those that the lane has told of before are counted by now.
        for (class, kept) in failures {
            if self.told.insert(class) || sought == Sought::First {
                let image = self.image.join(findings.len().to_string());
                findings.push(Found {
                    finding: keep(&self.bench, *kept.failure, about, &image)?,
                    states: kept.states,
                    at: kept.at,
                });
            }
        }
        Ok(findings)
    }
}

/// Keeps a failure: its disk laid out in `image`, its story told.
fn keep(
    bench: &Bench<'_>,
    failure: Failure,
    (crash, seed): (CrashKind, u64),
    image: &Path,
) -> io::Result<Finding> {
    let Failure {
        timeline,
        violation,
        events,
        disk,
    } = failure;
    remove_dir(image)?;
    disk.lay_out(image)?;
    let workloads = timeline.steps.iter().filter_map(|step| match &step.life {
        Life::Write(workload) => Some(workload.clone()),
        Life::Recover { .. } => None,
    });
    Ok(Finding {
        version: env!("CARGO_PKG_VERSION").into(),
        subject: bench.subject.name().into(),
        engine: timeline.engine.clone(),
        crash,
        seed,
        crash_point: story::point(bench, &timeline)?,
        violation,
        oracle: serde_json::Value::Null,
        workloads: workloads.collect(),
        script: Vec::new(),
        events,
        image: image.to_owned(),
        tale: Some(story::tell(bench, &timeline)?),
        timeline: Some(timeline),
        disk: None,
        black_box: None,
    })
}

/// A subject whose timeline is played again. If it hangs, that is saved in `out`.
fn bench_of<'a>(
    subject: &'a dyn Subject,
    timeline: &Timeline,
    limit: Duration,
    out: &Path,
) -> io::Result<Bench<'a>> {
    let Some(store) = subject.simulated() else {
        let name = subject.name();
        return Err(io::Error::other(format!(
            "{name} does not run on the simulated file system (any more)"
        )));
    };
    Ok(Bench {
        subject,
        store,
        watch: Watch::begin(About {
            subject: subject.name().to_owned(),
            crash: timeline.kind(),
            seed: timeline.seed,
            limit,
            out: out.to_owned(),
        }),
        filter: None,
    })
}

/// Plays a finding's timeline again.
pub(crate) fn check_again(
    subject: &dyn Subject,
    timeline: &Timeline,
    scratch: &Path,
) -> io::Result<Result<(), Violation>> {
    story::play(&bench_of(subject, timeline, HANG_LIMIT, scratch)?, timeline)
}

/// Plays a timeline, then looks at every moment of its last life: when the store has changed, what was
/// broken may be somewhere else.
pub(crate) fn play(
    subject: &dyn Subject,
    timeline: &Timeline,
    plan: &Plan,
    image: &Path,
) -> io::Result<Option<Finding>> {
    let bench = bench_of(subject, timeline, plan.hang_limit, &plan.out)?;
    let failure = shrink::search(&bench, timeline, &Sought::First)?;
    let about = (timeline.kind(), timeline.seed);
    failure
        .map(|failure| keep(&bench, failure, about, image))
        .transpose()
}

/// The smallest version of a finding, how many timelines were tried, and how many operations on the
/// disk it takes. `None` if it does not fail any more.
pub(crate) fn shrink(
    subject: &dyn Subject,
    finding: &Finding,
    plan: &Plan,
    deadline: Instant,
    image: &Path,
) -> io::Result<Option<(Finding, u64, u64)>> {
    let Some(timeline) = &finding.timeline else {
        return Ok(None);
    };
    let bench = bench_of(subject, timeline, plan.hang_limit, &plan.out)?;
    let Some(Smallest {
        failure,
        candidates,
    }) = shrink::shrink(&bench, timeline, &finding.violation.class(), deadline)?
    else {
        return Ok(None);
    };
    let operations = shrink::operations(&bench, &failure.timeline)?;
    let finding = keep(&bench, failure, (finding.crash, finding.seed), image)?;
    Ok(Some((finding, candidates, operations)))
}

impl Round<'_, '_> {
    fn draw_workload(&mut self) -> Workload {
        let generation = self.world.generations();
        Workload::draw_tiny(&mut self.explorer.rng, generation)
    }

    /// Counts what a writer announced in all of its life.
    fn count(&mut self, life: &Life, lived: &Lived) {
        let last = lived.recording.gaps.len() - 1;
        let announced = self.world.events_at(life, lived, last);
        let before = self.world.events.len();
        self.explorer.tally.count_run(&announced[before..]);
    }

    /// Lets a life end somewhere, by a kill or a power cut, and goes on from there.
    fn crash(&mut self, life: Life, faults: Vec<Fault>, lived: &Lived) {
        let gaps = &lived.recording.gaps;
        let last = gaps.len() - 1;
        let gap = self.explorer.draw_gap(lived);
        self.explorer.tally.killed_mid_work += u64::from(gap < last);
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
        self.world = self.world.after(lived, step);
    }

    /// Recovers to the end, with crashes on the way, and goes on from there.
    fn recover(&mut self) -> Outcome {
        let close = self.explorer.rng.random_bool(0.2);
        let life = Life::Recover { close };
        let effort = Effort::RECOVERY;
        let lived = match self.explorer.life(&self.world, &life, &[], effort)? {
            Ok(lived) => lived,
            Err(failure) => return Ok(Err(failure)),
        };
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
        Ok(Ok(()))
    }

    /// Power loss at every operation of every life.
    fn power(&mut self) -> Outcome {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let lived = match self
                .explorer
                .life(&self.world, &life, &[], Effort::WRITER)?
            {
                Ok(lived) => lived,
                Err(failure) => return Ok(Err(failure)),
            };
            self.count(&life, &lived);
            self.crash(life, Vec::new(), &lived);
            if let Err(failure) = self.recover()? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Errors of the disk; then everything as above, from the first error on.
    fn fault(&mut self) -> Outcome {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let well = self.world.live(&life, &[])?;
            let mut last = None;
            for _ in 0..FAULT_PLANS {
                let faults = self.draw_faults(&well);
                let effort = Effort::FAULTY;
                match self.explorer.life(&self.world, &life, &faults, effort)? {
                    Ok(lived) => {
                        self.count(&life, &lived);
                        last = Some((faults, lived));
                    }
                    Err(failure) => broken!(self.explorer, failure),
                }
            }
            let Some((faults, lived)) = last else {
                return Ok(Ok(()));
            };
            self.crash(life, faults, &lived);
            if let Err(failure) = self.faulty_recovery()? {
                return Ok(Err(failure));
            }
            if let Err(failure) = self.recover()? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// One or two errors that a run like this one comes to.
    fn draw_faults(&mut self, well: &Lived) -> Vec<Fault> {
        let rng = &mut self.explorer.rng;
        let count = rng.random_range(1..3);
        let draw = |_| {
            let kind = match FaultKind::ALL[rng.random_range(0..FaultKind::ALL.len())] {
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
        (0..count).map(draw).collect()
    }

    /// The disk fails while the store recovers. It may refuse, and loses nothing by that.
    fn faulty_recovery(&mut self) -> Outcome {
        let life = Life::Recover { close: false };
        let well = self.world.live(&life, &[])?;
        let mut last = None;
        for _ in 0..RECOVERY_FAULT_PLANS {
            let faults = self.draw_faults(&well);
            let effort = Effort::FAULTY;
            match self.explorer.life(&self.world, &life, &faults, effort)? {
                Ok(lived) => last = Some((faults, lived)),
                Err(failure) => broken!(self.explorer, failure),
            }
        }
        let Some((faults, lived)) = last else {
            return Ok(Ok(()));
        };
        let step = Step {
            life,
            faults,
            until: None,
            end: End::Kill,
        };
        self.world = self.world.after(&lived, step);
        Ok(Ok(()))
    }

    /// Damage to what crashes and orderly ends leave.
    fn rot(&mut self) -> Outcome {
        for _ in 0..GENERATIONS {
            let life = Life::Write(self.draw_workload());
            let lived = match self.well(&life)? {
                Ok(lived) => lived,
                Err(failure) => return Ok(Err(failure)),
            };
            self.count(&life, &lived);
            self.crash(life, Vec::new(), &lived);
            if let End::PowerLoss(_) = self.world.timeline.steps.last().expect("just pushed").end
                && let Err(failure) = self.decay(past_of(&self.world, &lived))
            {
                broken!(self.explorer, failure);
            }
            // Closed in order: if something is pending, it may be lost.
            let life = Life::Recover { close: true };
            let lived = match self.well(&life)? {
                Ok(lived) => lived,
                Err(failure) => return Ok(Err(failure)),
            };
            let last = lived.recording.gaps.last();
            let last = last.expect("there is one after the last");
            let step = Step {
                life,
                faults: Vec::new(),
                until: None,
                end: self.explorer.draw_loss(&last.disk),
            };
            self.world = self.world.after(&lived, step);
            if let Err(failure) = self.decay(past_of(&self.world, &lived)) {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// Lives a life on a disk that works, and looks at none of its crash states.
    fn well(&mut self, life: &Life) -> io::Result<Result<Lived, Box<Failure>>> {
        let lived = self.world.live(life, &[])?;
        let Err(violation) = self.world.judge(life, &lived) else {
            return Ok(Ok(lived));
        };
        let step = Step {
            life: life.clone(),
            faults: Vec::new(),
            until: None,
            end: End::Kill,
        };
        let after = self.world.after(&lived, step);
        Ok(Err(Box::new(Failure {
            timeline: after.timeline,
            violation,
            events: after.events,
            disk: after.disk,
        })))
    }

    /// Damages what is left, again and again.
    fn decay(&mut self, past: &[Gap]) -> Result<(), Box<Failure>> {
        for _ in 0..DAMAGED {
            let mut disk = self.world.disk.clone();
            let mut damage = Vec::new();
            for _ in 0..self.explorer.rng.random_range(1..4) {
                let drawn = disk.draw_damage(past, &mut self.explorer.rng);
                if let Some(drawn) = drawn {
                    disk.damage(&drawn, past);
                    damage.push(drawn);
                }
            }
            if !self
                .explorer
                .is_new(disk.fingerprint(), self.world.events.len())
            {
                continue;
            }
            let tally = &mut *self.explorer.tally;
            match examine_damaged(&self.world, &disk) {
                Ok(Decayed::Served(entries)) => tally.recovered += entries as u64,
                Ok(Decayed::Refused) => tally.detected += 1,
                Ok(Decayed::Unprovable) => tally.unprovable += 1,
                Err(violation) => {
                    let mut timeline = self.world.timeline.clone();
                    timeline.damage = damage;
                    let failure = Box::new(Failure {
                        timeline,
                        violation,
                        events: self.world.events.clone(),
                        disk,
                    });
                    self.explorer.found(failure)?;
                }
            }
        }
        Ok(())
    }
}

/// The moments of the last life, up to where it ended.
fn past_of<'l>(world: &World<'_>, lived: &'l Lived) -> &'l [Gap] {
    let last = world.timeline.steps.last();
    lived.recording.past(last.and_then(|step| step.until))
}

/// What a store did with damaged bytes, all of it in order.
enum Decayed {
    /// It served so many entries, and all that it must.
    Served(usize),
    /// It refused.
    Refused,
    /// It lost what nothing on the disk vouches for.
    Unprovable,
}

fn examine_damaged(world: &World<'_>, disk: &Disk) -> Result<Decayed, Violation> {
    let survivors = match world.show(disk.clone(), &world.workloads) {
        Ok(survivors) => survivors,
        Err(LastWords::Error(_)) => return Ok(Decayed::Refused),
        Err(words) => return Err(words.of("recovery of damaged bytes")),
    };
    let Err(violation) = world.oracle.check(&world.events, &survivors) else {
        return Ok(Decayed::Served(survivors.len()));
    };
    if !violation.is_loss() {
        return Err(violation);
    }
    let Some(vouched) = world.vouched(disk.clone()) else {
        return Ok(Decayed::Unprovable);
    };
    let mut lenient = oracle::copy(&*world.oracle, || world.bench.subject.oracle());
    lenient.excuse(vouched);
    lenient
        .check(&world.events, &survivors)
        .map(|()| Decayed::Unprovable)
}
