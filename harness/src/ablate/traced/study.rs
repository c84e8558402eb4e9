//! The ablation of a store without a seam: `power` with every sync in place, then runs without some.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::found::Found;
use super::rounds::{Rounds, Watch};
use crate::ablate::progress::Progress;
use crate::ablate::report::AblationReport;
use crate::campaign;
use crate::crash_kind::CrashKind;
use crate::hang::OnHang;
use crate::kinds::{self, Case, Job};
use crate::plan::{Budget, Plan};
use crate::recorder::RecorderKind;
use crate::scratch::Scratch;
use crate::sim::Profile;
use crate::store::Tested;
use crate::tally::Tally;

/// This part of the time, `power` may take with every sync in place.
const CENSUS_SHARE: u32 = 6;
/// Rounds after which nothing new is expected once every site is noticed by every profile.
const ROUNDS_MIN: u64 = 3;

struct Study<'a> {
    tested: Tested<'a>,
    plan: &'a Plan,
    /// For the census.
    power: &'a Plan,
    progress: &'a Progress,
    on_hang: &'a OnHang,
    scratch: &'a Scratch,
    found: &'a Mutex<Found>,
    started: Instant,
}

/// Leaves out each sync of recorded runs in turn. The plan's `stop` ends it early, with what it has found so
/// far.
///
/// # Errors
/// If what is tested has no such engine, cannot be traced here, or the machine fails.
pub(in crate::ablate) fn run(
    tested: Tested<'_>,
    plan: &Plan,
    progress: &Progress,
    on_hang: &OnHang,
) -> io::Result<AblationReport> {
    if plan
        .profiles()
        .iter()
        .all(|profile| *profile == Profile::Everything)
    {
        let why = "by the rules of `everything`, no sync does anything: name another profile";
        return Err(io::Error::other(why));
    }
    let traced = Plan {
        recorder: plan.recorder.or(Some(RecorderKind::Trace)),
        ..plan.clone()
    };
    let power = Plan {
        budget: match plan.budget {
            Budget::Duration(duration) => Budget::Duration(duration / CENSUS_SHARE),
            rounds @ Budget::Rounds(_) => rounds,
        },
        ..traced.clone()
    };
    campaign::require(tested, &[CrashKind::Power], &traced).map_err(io::Error::other)?;
    let scratch = Scratch::create(&plan.scratch_dir(true))?;
    let found = Mutex::default();
    let study = Study {
        tested,
        plan: &traced,
        power: &power,
        progress,
        on_hang,
        scratch: &scratch,
        found: &found,
        started: Instant::now(),
    };
    progress.begin(tested.name(), plan.budget);
    study.in_parallel(&|lane, ticket| study.census(lane, ticket));
    if !study.found().is_over() {
        study.in_parallel(&|lane, ticket| study.rounds(lane, ticket));
    }
    progress.end();
    let elapsed = study.started.elapsed();
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = found.error.take() {
        return Err(error);
    }
    let (census_rounds, rounds) = (found.census_rounds, found.census_rounds + found.rounds);
    let broken = found.broken.take();
    Ok(AblationReport {
        subject: tested.name().to_owned(),
        seed: plan.seed,
        census_rounds,
        rounds,
        crash_states: found.total.crash_states,
        syncs: if broken.is_some() {
            Vec::new()
        } else {
            found.syncs()
        },
        broken,
        elapsed_s: elapsed.as_secs_f64(),
        interrupted: plan.stop.is_set(),
    })
}

impl Study<'_> {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does rounds on as many threads as are wanted; each takes the number of its next one.
    fn in_parallel(&self, work: &(dyn Fn(u64, &AtomicU64) -> io::Result<()> + Sync)) {
        let ticket = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for lane in 0..self.plan.jobs as u64 {
                let ticket = &ticket;
                scope.spawn(move || match work(lane, ticket) {
                    // It was broken off.
                    Err(error)
                        if self.plan.stop.is_set() && error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.found().error.get_or_insert(error);
                    }
                    Ok(()) => {}
                });
            }
        });
    }

    fn job<'s>(&'s self, lane: u64, plan: &'s Plan) -> Job<'s> {
        Job {
            tested: self.tested,
            case: Case {
                crash: CrashKind::Power,
                fs: None,
            },
            plan,
            scratch: self.scratch.path(),
            row: 0,
            lane,
            on_hang: self.on_hang,
        }
    }

    fn tell(&self) {
        let found = self.found();
        let (noticed, sites) = (found.noticed(), found.sites.len());
        let elapsed = self.started.elapsed();
        self.progress.trials(elapsed, noticed, sites - noticed);
    }

    /// Whether there is a next round.
    fn goes_on(&self, number: u64, share: u32) -> bool {
        let is_in_budget = match self.plan.budget {
            Budget::Rounds(rounds) => number < rounds,
            // One round there must be.
            Budget::Duration(duration) => number == 0 || self.started.elapsed() < duration / share,
        };
        is_in_budget && !self.plan.stop.is_set() && !self.found().is_over()
    }

    /// Rounds of `power` with every sync in place: what is broken then says nothing about a sync.
    fn census(&self, lane: u64, ticket: &AtomicU64) -> io::Result<()> {
        let job = self.job(lane, self.power);
        let mut worker = kinds::of(CrashKind::Power).worker(job);
        loop {
            let number = ticket.fetch_add(1, Ordering::Relaxed);
            if !self.goes_on(number, CENSUS_SHARE) {
                return Ok(());
            }
            let mut tally = Tally::default();
            let failures = worker.round(number, &mut tally)?;
            let mut found = self.found();
            found.total.add(&tally);
            found.census_rounds += 1;
            if let Some(failure) = failures.first() {
                let finding = &failure.finding;
                let told = format!("{} ({})", finding.violation, finding.crash_point);
                found.broken.get_or_insert(told);
            }
            let elapsed = self.started.elapsed();
            self.progress
                .census(elapsed, found.sites.len(), &found.total);
        }
    }

    /// Rounds of runs, each looked at without each of its syncs.
    fn rounds(&self, lane: u64, ticket: &AtomicU64) -> io::Result<()> {
        let is_over = || {
            let is_late = |duration| self.started.elapsed() >= duration;
            let is_late = self.plan.budget.duration().is_some_and(is_late);
            is_late || self.plan.stop.is_set()
        };
        let watch = Watch {
            is_over: &is_over,
            tell: &|| self.tell(),
        };
        let mut rounds = Rounds::new(&self.job(lane, self.plan), self.found, watch);
        loop {
            let number = ticket.fetch_add(1, Ordering::Relaxed);
            if !self.goes_on(number, 1) {
                return Ok(());
            }
            rounds.round(number)?;
            let found = self.found();
            let is_timed = self.plan.budget.duration().is_some();
            let all_noticed = found.noticed() == found.sites.len();
            if is_timed && found.rounds >= ROUNDS_MIN && all_noticed {
                return Ok(());
            }
        }
    }
}
