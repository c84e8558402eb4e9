//! The census, and the trials of each site.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::filter::{Census, Hits, LeaveOut, Sites};
use super::progress::Progress;
use super::report::{AblatedSync, AblationReport, Notice, SyncOutcome};
use super::site::SyncSite;
use crate::campaign;
use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::hang::OnHang;
use crate::kinds::{Case, Job, Simulation, Worker};
use crate::plan::{Budget, Plan};
use crate::scratch::Scratch;
use crate::sim::SyncFilter;
use crate::store::Tested;
use crate::subject::Subject;
use crate::tally::Tally;

/// The crash kinds to which a missing sync can matter.
const KINDS: [CrashKind; 2] = [CrashKind::Power, CrashKind::Fault];
/// This part of the time, the census may take.
const CENSUS_SHARE: u32 = 6;

/// A round: of which kind, and its number.
type Round = (CrashKind, u64);

/// Where and with what rounds are run.
struct Study<'a> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    progress: &'a Progress,
    on_hang: &'a OnHang,
    scratch: &'a Path,
    sites: Arc<Sites>,
    started: Instant,
}

/// What is known of a site from the census.
#[derive(Default)]
struct Counted {
    hits: Hits,
    /// The rounds that come to it.
    rounds: Vec<Round>,
}

/// What the census knows.
#[derive(Default)]
struct Counts {
    sites: BTreeMap<Arc<SyncSite>, Counted>,
    /// Rounds of each kind.
    rounds: u64,
    total: Tally,
    /// A promise that is broken with every sync in place.
    broken: Option<Finding>,
    error: Option<io::Error>,
}

/// A site on trial.
struct Trial {
    counted: Counted,
    filter: Arc<LeaveOut>,
    /// How many rounds it has been through.
    next: usize,
    tally: Tally,
    noticed: Option<Notice>,
    /// All its rounds were done.
    is_decided: bool,
}

/// What the threads share while sites are on trial.
#[derive(Default)]
struct Trials {
    waiting: VecDeque<Trial>,
    done: Vec<Trial>,
    error: Option<io::Error>,
}

/// Leaves out each sync in turn. The plan's `stop` ends it early, with what it has found so far.
///
/// # Errors
/// If the subject does not run on the simulated file system, has no such engine, or the machine fails.
pub(super) fn run(
    subject: &dyn Subject,
    plan: &Plan,
    progress: &Progress,
    on_hang: &OnHang,
) -> io::Result<AblationReport> {
    if plan.engines_of(subject.engines()).is_empty() {
        let name = subject.name();
        return Err(io::Error::other(format!("{name} has no such engine")));
    }
    campaign::require(Tested::Subject(subject), &KINDS, plan).map_err(io::Error::other)?;
    let scratch = Scratch::create(&std::env::temp_dir())?;
    let study = Study {
        subject,
        plan,
        progress,
        on_hang,
        scratch: scratch.path(),
        sites: Arc::default(),
        started: Instant::now(),
    };
    progress.begin(subject.name(), plan.budget);
    let mut counts = study.census()?;
    let trials = match counts.broken {
        // Whatever is broken anyway says nothing about a sync.
        Some(_) => Vec::new(),
        None => study.trials(&mut counts)?,
    };
    progress.end();
    let mut total = counts.total;
    for trial in &trials {
        total.add(&trial.tally);
    }
    let mut syncs: Vec<AblatedSync> = trials
        .into_iter()
        .map(|trial| study.verdict(trial))
        .collect();
    syncs.sort_by(|a, b| a.site.cmp(&b.site));
    Ok(AblationReport {
        subject: subject.name().to_owned(),
        seed: plan.seed,
        syncs,
        broken: counts.broken.map(|finding| finding.violation.to_string()),
        census_rounds: counts.rounds,
        rounds: total.rounds,
        crash_states: total.crash_states,
        elapsed_s: study.started.elapsed().as_secs_f64(),
        interrupted: plan.stop.is_set(),
    })
}

impl Study<'_> {
    /// Runs a round with a filter.
    fn round(
        &self,
        (kind, number): Round,
        worker: usize,
        filter: Arc<dyn SyncFilter>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        let simulation = Simulation::new(&Job {
            tested: Tested::Subject(self.subject),
            case: Case {
                crash: kind,
                fs: None,
            },
            plan: self.plan,
            scratch: self.scratch,
            row: 0,
            lane: worker as u64,
            on_hang: self.on_hang,
        });
        let found = match simulation.filter_syncs(filter).round(number, tally) {
            // It was broken off, and had found nothing by then.
            Err(error) if self.plan.stop.is_set() && error.kind() == ErrorKind::Interrupted => {
                return Ok(None);
            }
            found => found?,
        };
        Ok(found.into_iter().next().map(|found| found.finding))
    }

    fn is_over(&self, share: u32) -> bool {
        let spent = match self.plan.budget {
            Budget::Rounds(_) => false,
            Budget::Duration(duration) => self.started.elapsed() >= duration / share,
        };
        spent || self.plan.stop.is_set()
    }

    /// Runs `work` on as many threads as are wanted.
    fn in_parallel(&self, work: impl Fn(usize) + Sync) {
        std::thread::scope(|scope| {
            for worker in 0..self.plan.jobs {
                let work = &work;
                scope.spawn(move || work(worker));
            }
        });
    }

    /// Which sites there are, and which rounds come to them.
    fn census(&self) -> io::Result<Counts> {
        let tickets = AtomicU64::new(0);
        let shared = Mutex::new(Counts::default());
        let kinds = KINDS.len() as u64;
        let go_on = |ticket: u64| {
            let in_budget = match self.plan.budget {
                Budget::Rounds(rounds) => ticket / kinds < rounds,
                // One round of each kind there must be.
                Budget::Duration(_) => ticket < kinds || !self.is_over(CENSUS_SHARE),
            };
            let counts = lock(&shared);
            let goes_on = counts.broken.is_none() && counts.error.is_none();
            in_budget && goes_on && !self.plan.stop.is_set()
        };
        self.in_parallel(|worker| {
            loop {
                let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                if !go_on(ticket) {
                    return;
                }
                let kind = if ticket.is_multiple_of(kinds) {
                    KINDS[0]
                } else {
                    KINDS[1]
                };
                let number = ticket / kinds;
                let census = Arc::new(Census::new(&self.sites));
                let mut tally = Tally::default();
                let outcome = self.round((kind, number), worker, census.clone(), &mut tally);
                let mut counts = lock(&shared);
                counts.note((kind, number), &census, &tally, outcome);
                self.progress
                    .census(self.started.elapsed(), counts.sites.len(), &counts.total);
            }
        });
        let mut counts = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        for counted in counts.sites.values_mut() {
            // In the order of their numbers, whichever thread was faster; first power, then fault.
            counted
                .rounds
                .sort_unstable_by_key(|(kind, number)| (*number, *kind != KINDS[0]));
        }
        match counts.error.take() {
            Some(error) => Err(error),
            None => Ok(counts),
        }
    }

    /// Leaves out each site's syncs, until somebody notices.
    fn trials(&self, counts: &mut Counts) -> io::Result<Vec<Trial>> {
        let fresh = counts.rounds;
        let sites = std::mem::take(&mut counts.sites).into_iter();
        let waiting = sites.map(|(site, counted)| Trial {
            counted,
            filter: Arc::new(LeaveOut::new(&self.sites, site)),
            next: 0,
            tally: Tally::default(),
            noticed: None,
            is_decided: false,
        });
        let shared = Mutex::new(Trials {
            waiting: waiting.collect(),
            ..Trials::default()
        });
        self.in_parallel(|worker| {
            while !self.is_over(1) {
                // Every site gets its turn: those that nobody notices share what time is left.
                let Some(mut trial) = lock(&shared).waiting.pop_front() else {
                    return;
                };
                let round = self.round_of(&trial, fresh);
                let outcome = round.map(|round| {
                    let filter = Arc::clone(&trial.filter) as Arc<dyn SyncFilter>;
                    let found = self.round(round, worker, filter, &mut trial.tally);
                    (round.0, found)
                });
                let mut trials = lock(&shared);
                match outcome {
                    Some((kind, Ok(Some(finding)))) => {
                        trial.noticed = Some(Notice::new(kind, &finding));
                        trials.done.push(trial);
                    }
                    Some((_, Ok(None))) => {
                        trial.next += 1;
                        trials.waiting.push_back(trial);
                    }
                    Some((_, Err(error))) => {
                        trials.error = Some(error);
                        trials.waiting.clear();
                    }
                    None => {
                        trial.is_decided = true;
                        trials.done.push(trial);
                    }
                }
                let (done, left) = (trials.done.len(), trials.waiting.len());
                drop(trials);
                self.progress.trials(self.started.elapsed(), done, left);
            }
        });
        let trials = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match trials.error {
            Some(error) => Err(error),
            None => Ok(trials.done.into_iter().chain(trials.waiting).collect()),
        }
    }

    /// The next round for a site: those of the census that came to it, then, if there is time, others.
    /// The census's other rounds would go as they went then.
    fn round_of(&self, trial: &Trial, fresh: u64) -> Option<Round> {
        let counted = &trial.counted.rounds;
        if let Some(round) = counted.get(trial.next) {
            return Some(*round);
        }
        if let Budget::Rounds(_) = self.plan.budget {
            return None;
        }
        let past = (trial.next - counted.len()) as u64;
        let only_under_faults = counted.iter().all(|(kind, _)| *kind == CrashKind::Fault);
        Some(match (only_under_faults, past % 2) {
            (true, _) => (CrashKind::Fault, fresh + past),
            (false, 0) => (CrashKind::Power, fresh + past / 2),
            (false, _) => (CrashKind::Fault, fresh + past / 2),
        })
    }

    fn verdict(&self, trial: Trial) -> AblatedSync {
        let site = trial.filter.site().clone();
        let store = self.subject.simulated();
        let redundant = store.and_then(|store| store.redundant_sync(&site));
        let outcome = match (trial.noticed, redundant) {
            (Some(notice), _) => SyncOutcome::Noticed(notice),
            (None, Some(why)) => SyncOutcome::Redundant(why.to_owned()),
            (None, None) if trial.filter.left_out() == 0 => SyncOutcome::Untried,
            (None, None) if self.plan.stop.is_set() && !trial.is_decided => SyncOutcome::Untried,
            (None, None) => SyncOutcome::Missed,
        };
        AblatedSync {
            site,
            hits: trial.counted.hits,
            rounds: trial.tally.rounds,
            crash_states: trial.tally.crash_states,
            left_out: trial.filter.left_out(),
            profiles: Vec::new(),
            outcome,
            explanation: redundant.map(str::to_owned),
        }
    }
}

impl Counts {
    fn note(
        &mut self,
        round: Round,
        census: &Census,
        tally: &Tally,
        outcome: io::Result<Option<Finding>>,
    ) {
        self.total.add(tally);
        self.rounds = self.rounds.max(round.1 + 1);
        for (site, hits) in census.hits() {
            let counted = self.sites.entry(site).or_default();
            counted.hits.add(hits);
            counted.rounds.push(round);
        }
        match outcome {
            Ok(None) => {}
            Ok(finding) => self.broken = finding,
            Err(error) => self.error = Some(error),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
