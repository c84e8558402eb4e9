//! `fault` under trace: a writer goes on, or stops, on a disk that fails; then the power is lost.
//!
//! A run without a fault comes first. It shows which calls there are to fail, and what breaks without any
//! fault. The runs with one begin on the same disk.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::lives::End;
use super::scene::{Halt, Scene};
use super::worker::OnTrace;
use crate::injection::{Injection, Met};
use crate::planned_fault::PlannedFault;
use crate::recorder::{Followed, Recording, Run};
use crate::sim::{Fault, FaultKind, Role};
use crate::store::Work;
use crate::tally::{Tally, is_mid_work};

/// Runs with faults on each disk.
const PLANS: usize = 4;
/// States of the run without a fault that are looked at.
const WELL_STATES_MAX: u64 = 48;
/// States of each run with one.
const FAULTY_STATES_MAX: u64 = 96;
/// What a sync is answered with, and what a write is: mostly the usual error.
const ERRORS_OF_SYNC: [i32; 5] = [libc::EIO, libc::EIO, libc::EIO, libc::ENOSPC, libc::EINTR];
const ERRORS_OF_WRITE: [i32; 3] = [libc::EIO, libc::EIO, libc::EINTR];

impl OnTrace<'_> {
    /// Runs of one writer on one disk: one without a fault, others with some. The last of them crashes, and
    /// the next generation begins with what its recovery has left.
    pub(super) fn faulty_generation(&mut self, tally: &mut Tally) -> Result<(), Halt> {
        self.prepare(tally)?;
        tally.rounds += 1;
        let met = self.without_a_fault(tally)?;
        let plans = if self.planned.is_empty() {
            self.draw_plans(&met)
        } else {
            vec![self.planned.clone()]
        };
        let mut last = None;
        for plan in plans {
            if self.is_over() {
                break;
            }
            last = self.with_faults(&plan, tally)?.map(|run| (plan, run));
        }
        let Some((plan, recording)) = last else {
            self.lives = None;
            return Ok(());
        };
        let scene = Scene::of_writer(&recording, &plan);
        self.go_on(&scene, tally)
    }

    /// A writer on a disk that works.
    fn without_a_fault(&mut self, tally: &mut Tally) -> Result<Met, Halt> {
        let recording = self.write(Injection::new(&[], 0), tally)?;
        let scene = Scene::of_writer(&recording, &[]);
        let events = recording.announced_at(recording.moments() - 1);
        // Only a run whose disk fails shows something of work that was interrupted.
        let mid_work = tally.killed_mid_work;
        tally.count_run(&events);
        tally.killed_mid_work = mid_work;
        self.judge_writer(&scene, tally)?;
        let before = tally.crash_states;
        self.look(&scene, WELL_STATES_MAX, tally)?;
        self.well_states = tally.crash_states - before;
        Ok(recording.met)
    }

    /// A writer on a disk that fails. `None` if no call of it met a fault.
    fn with_faults(
        &mut self,
        plan: &[PlannedFault],
        tally: &mut Tally,
    ) -> Result<Option<Followed>, Halt> {
        self.bench.store.take_back();
        let seed = self.bench.rng.next_u64();
        let recording = self.write(Injection::new(plan, seed), tally)?;
        let Some(faulted) = recording.faulted else {
            self.tell_unmet(plan, &recording.met);
            return Ok(None);
        };
        tally.faults += u64::from(recording.injected);
        let last = recording.moments() - 1;
        tally.count_run(&recording.announced_at(last));
        if (faulted..=last).any(|moment| is_mid_work(&recording.announced_at(moment))) {
            tally.killed_mid_work = tally.killed_mid_work.max(1);
        }
        let scene = Scene::of_writer(&recording, plan);
        self.judge_writer(&scene, tally)?;
        self.look(&scene, FAULTY_STATES_MAX, tally)?;
        Ok(Some(recording))
    }

    fn write(&mut self, injection: Injection, tally: &mut Tally) -> Result<Followed, Halt> {
        let disk = self.disk.clone();
        let run = Run::Write(Work::Traced);
        let recording = self
            .bench
            .record(run, disk, Vec::new(), Some(injection), tally)?;
        // The same bytes may be broken by what was announced in another run.
        self.seen.clear();
        Ok(recording)
    }

    /// What the writer did wrong by itself: to stop because of a fault is not wrong.
    pub(super) fn judge_writer(
        &mut self,
        scene: &Scene<'_>,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        let recording = scene.recording;
        let Some(violation) = recording.failed.clone() else {
            return Ok(());
        };
        let last = recording.moments() - 1;
        debug_assert_eq!(scene.role, Role::Writer);
        let life = scene.ended(last, End::Kill);
        self.broken(life, recording.announced_at(last), violation, tally)?;
        // What it announced may not be known, so no state can be judged.
        Err(Halt::Found)
    }

    /// Errors among those that a run like this one meets: one in each plan, now and then two.
    fn draw_plans(&mut self, met: &Met) -> Vec<Vec<PlannedFault>> {
        let kinds = FaultKind::ALL.into_iter();
        let kinds: Vec<FaultKind> = kinds.filter(|kind| met.count(*kind).all > 0).collect();
        let draw = |_| {
            let count = if self.bench.rng.random_bool(0.25) {
                2
            } else {
                1
            };
            let faults = (0..count).filter_map(|_| self.draw_fault(&kinds, met));
            faults.collect()
        };
        let plans: Vec<Vec<PlannedFault>> = (0..PLANS).map(draw).collect();
        plans.into_iter().filter(|plan| !plan.is_empty()).collect()
    }

    fn draw_fault(&mut self, kinds: &[FaultKind], met: &Met) -> Option<PlannedFault> {
        let rng = &mut self.bench.rng;
        // What follows a failed sync is what stores know least of.
        let syncs = kinds.contains(&FaultKind::Sync) && rng.random_bool(0.3);
        let kind = match (syncs, kinds.choose(rng)?) {
            (true, _) => FaultKind::Sync,
            (false, FaultKind::NoSpace { .. }) => FaultKind::NoSpace {
                lasting: rng.random_range(1..6),
            },
            (false, kind) => *kind,
        };
        let count = met.count(kind);
        let from_first_word = count.after_first_word > 0 && rng.random_bool(0.75);
        let calls = if from_first_word {
            count.after_first_word
        } else {
            count.all
        };
        let after = rng.random_range(0..calls.max(1));
        let mut planned = PlannedFault::usual(Fault { kind, after }, from_first_word);
        let errors = match kind {
            FaultKind::Sync | FaultKind::SyncDir => ERRORS_OF_SYNC.as_slice(),
            FaultKind::Write => ERRORS_OF_WRITE.as_slice(),
            _ => &[],
        };
        planned.errno = errors.choose(rng).copied().unwrap_or(planned.errno);
        Some(planned)
    }

    /// Says once that a fault that was asked for was not met.
    fn tell_unmet(&mut self, plan: &[PlannedFault], met: &Met) {
        if self.planned.is_empty() || std::mem::replace(&mut self.is_told, true) {
            return;
        }
        for fault in plan {
            let count = met.count(fault.fault.kind);
            eprintln!(
                "no call met `--fault {fault}`: the writer made {} such calls, {} of them after its first \
                 announcement; the run does not count",
                count.all, count.after_first_word
            );
        }
    }
}
