//! Rounds of crash and check over subjects and crash kinds, on several threads.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Found};
use crate::hang::OnHang;
use crate::kinds::{self, Case, Job, REGISTRY};
use crate::plan::{Budget, Plan};
use crate::process::end_strays;
use crate::report::{Coverage, Progress, Reporter, Row, SavedFailure, case_name};
use crate::scratch::Scratch;
use crate::store::Tested;
use crate::tally::Tally;

/// A row that does not continue after failures stops after this number: more of them say nothing new.
const FAILURES_MAX: usize = 3;

/// What controls a torture while it runs, and what receives its events.
#[derive(Clone, Copy)]
pub(crate) struct Watching<'a> {
    /// Ends it early, with what it has found so far.
    pub(crate) stop: &'a AtomicBool,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) on_hang: &'a OnHang,
}

/// Tortures each subject with each crash kind, one after the other.
///
/// # Errors
/// If the machine fails, not a subject: files, processes, memory.
pub(crate) fn run(
    subjects: &[Tested<'_>],
    kinds: &[CrashKind],
    plan: &Plan,
    watching: Watching<'_>,
) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for tested in subjects.iter().copied() {
        for case in cases(kinds, plan) {
            if watching.stop.load(Ordering::Relaxed) {
                return Ok(rows);
            }
            let row = row(tested, case, rows.len() as u64, plan, watching)?;
            watching.reporter.report(&Progress::RowEnded(&row));
            let ends_it = plan.fail_fast && row.tally.violations > 0;
            rows.push(row);
            if ends_it {
                return Ok(rows);
            }
        }
    }
    Ok(rows)
}

/// The rows of each subject.
pub(crate) fn cases(kinds: &[CrashKind], plan: &Plan) -> Vec<Case> {
    let kinds = kinds.iter().map(|kind| kinds::of(*kind));
    kinds.flat_map(|kind| kind.cases(plan)).collect()
}

/// These kinds were asked for by name, so each must be available.
pub(crate) fn require(tested: Tested<'_>, kinds: &[CrashKind], plan: &Plan) -> Result<(), String> {
    cases(kinds, plan).into_iter().try_for_each(|case| {
        kinds::of(case.crash)
            .available(tested, case, plan)
            .map_err(|why| format!("crash kind '{}' is unavailable: {why}", case.crash))
    })
}

/// Plays a script, as a failure keeps it.
///
/// # Errors
/// If it is no script, or the machine fails.
pub(crate) fn play(
    tested: Tested<'_>,
    script: &str,
    plan: &Plan,
    watching: Watching<'_>,
) -> io::Result<Row> {
    let script: Value = serde_json::from_str(script)?;
    let scratch = Scratch::create(&plan.scratch_dir(true))?;
    let started = Instant::now();
    let mut tally = Tally::default();
    for kind in REGISTRY {
        let crash = kind.id();
        let job = Job {
            tested,
            case: Case { crash, fs: None },
            plan,
            scratch: scratch.path(),
            row: 0,
            lane: 0,
            stop: watching.stop,
            on_hang: watching.on_hang,
        };
        let Some(played) = kind.play(&script, &job, &mut tally)? else {
            continue;
        };
        let mut failures = Vec::new();
        for finding in &played.findings {
            failures.push(save(
                finding,
                plan,
                tally.crash_states,
                started,
                Instant::now(),
            )?);
        }
        let case = Case {
            crash: played.crash,
            fs: None,
        };
        let row = finished(tested, case, plan, started, tally);
        return Ok(Row {
            coverage: played.coverage,
            failures,
            ..row
        });
    }
    let reason = "this is no script: neither the generations of `syscall` nor a timeline of the \
                  simulated file system";
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Keeps a finding on disk.
fn save(
    finding: &Finding,
    plan: &Plan,
    after_states: u64,
    started: Instant,
    at: Instant,
) -> io::Result<SavedFailure> {
    Ok(SavedFailure {
        folder: finding.save(&plan.out)?,
        violation: finding.violation.to_string(),
        class: finding.violation.class(),
        after_states,
        after_s: at.duration_since(started).as_secs_f64(),
    })
}

/// A row that has come to its end.
fn finished(tested: Tested<'_>, case: Case, plan: &Plan, started: Instant, tally: Tally) -> Row {
    let elapsed_s = started.elapsed().as_secs_f64();
    Row {
        subject: tested.name().to_owned(),
        crash: case.crash,
        fs: case.fs,
        seed: plan.seed,
        rounds_per_s: tally.rounds as f64 / elapsed_s,
        states_per_s: tally.crash_states as f64 / elapsed_s,
        elapsed_s,
        tally,
        coverage: Coverage::Sampled,
        strays: 0,
        unavailable: None,
        failures: Vec::new(),
    }
}

fn row(
    tested: Tested<'_>,
    case: Case,
    index: u64,
    plan: &Plan,
    watching: Watching<'_>,
) -> io::Result<Row> {
    let kind = kinds::of(case.crash);
    let Case { crash, fs } = case;
    if let Err(why) = kind.available(tested, case, plan) {
        return Ok(Row::unavailable(tested.name(), crash, fs, plan.seed, why));
    }
    let scratch = Scratch::create(&plan.scratch_dir(kind.wants_memory()))?;
    watching.reporter.report(&Progress::RowBegan {
        subject: tested.name(),
        case: &case_name(crash, fs),
        budget: plan.budget,
    });
    let row = torture(tested, case, index, plan, scratch.path(), watching);
    let strays = end_strays(scratch.path())?;
    Ok(Row { strays, ..row? })
}

/// What the threads of a row share.
struct Shared<'a> {
    plan: &'a Plan,
    goes_on: bool,
    started: Instant,
    watching: Watching<'a>,
    /// Rounds that were handed out.
    tickets: AtomicU64,
    done: Mutex<Done>,
}

/// What was done.
#[derive(Default)]
struct Done {
    tally: Tally,
    failures: Vec<SavedFailure>,
    error: Option<io::Error>,
}

fn torture(
    tested: Tested<'_>,
    case: Case,
    index: u64,
    plan: &Plan,
    scratch: &Path,
    watching: Watching<'_>,
) -> io::Result<Row> {
    let shared = Shared {
        plan,
        goes_on: plan.keep_going || tested.exhibit().is_some(),
        started: Instant::now(),
        watching,
        tickets: AtomicU64::new(0),
        done: Mutex::default(),
    };
    let work = |lane: usize| {
        let mut worker = kinds::of(case.crash).worker(Job {
            tested,
            case,
            plan,
            scratch,
            row: index,
            lane: plan.shard.number(lane as u64),
            stop: watching.stop,
            on_hang: watching.on_hang,
        });
        while let Some(number) = shared.next_round() {
            let mut tally = Tally::default();
            let found = worker.round(number, &mut tally);
            shared.note(&tally, found);
        }
    };
    std::thread::scope(|scope| {
        for lane in 0..plan.jobs {
            let work = &work;
            scope.spawn(move || work(lane));
        }
    });
    let done = shared.done.into_inner().expect("no thread panicked");
    match done.error {
        Some(error) => Err(error),
        None => Ok(Row {
            failures: done.failures,
            ..finished(tested, case, plan, shared.started, done.tally)
        }),
    }
}

impl Shared<'_> {
    /// The number of the next round, if there is to be one.
    fn next_round(&self) -> Option<u64> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let number = self.plan.shard.number(ticket);
        let in_budget = match self.plan.budget {
            Budget::Rounds(rounds) => number < rounds,
            Budget::Duration(duration) => self.started.elapsed() < duration,
        };
        if !in_budget || self.watching.stop.load(Ordering::Relaxed) {
            return None;
        }
        let failures_max = match (self.plan.fail_fast, self.goes_on) {
            (true, _) => 1,
            (_, true) => usize::MAX,
            _ => FAILURES_MAX,
        };
        let done = self.done.lock().expect("no thread panics with the lock");
        (done.error.is_none() && done.failures.len() < failures_max).then_some(number)
    }

    /// Takes note of a round.
    fn note(&self, tally: &Tally, found: io::Result<Vec<Found>>) {
        let mut done = self.done.lock().expect("no thread panics with the lock");
        let states_before = done.tally.crash_states;
        done.tally.add(tally);
        self.watching.reporter.report(&Progress::RoundEnded {
            total: &done.tally,
            elapsed: self.started.elapsed(),
        });
        let kept = found.and_then(|found| {
            let mut found = found.into_iter();
            found.try_for_each(|found| self.keep(&found, states_before, &mut done.failures))
        });
        if let Err(error) = kept {
            done.error = Some(error);
        }
    }

    /// Keeps a failure; where the row continues after failures, the first of its class.
    fn keep(
        &self,
        found: &Found,
        states_before: u64,
        failures: &mut Vec<SavedFailure>,
    ) -> io::Result<()> {
        let Found {
            finding,
            states,
            at,
        } = found;
        let class = finding.violation.class();
        if self.goes_on && failures.iter().any(|known| known.class == class) {
            return Ok(());
        }
        let states = states_before + states;
        let failure = save(finding, self.plan, states, self.started, *at)?;
        self.watching
            .reporter
            .report(&Progress::FailureSaved(&failure));
        failures.push(failure);
        Ok(())
    }
}
