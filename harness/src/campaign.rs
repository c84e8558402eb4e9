//! Rounds of crash and check over subjects and crash kinds, on several threads.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde::Deserialize;

use crate::child::end_strays;
use crate::crash::simulated::{self, Timeline};
use crate::crash::{CrashKind, Found, Lane, syscall};
use crate::disk::FileSystemKind;
use crate::doctor;
use crate::finding::{Finding, Generation};
use crate::plan::{Budget, Plan};
use crate::report::{Coverage, Progress, Reporter, Row, SavedFailure, case_name};
use crate::scratch::Scratch;
use crate::subject::Subject;
use crate::tally::Tally;
use crate::workload::stream;

/// A row that does not go on after failures stops after so many: more of them say nothing new.
const FAILURES_MAX: usize = 3;

/// Tortures each subject with each crash kind, one after the other. `stop` ends it early, with what
/// it has found so far.
///
/// # Errors
/// If the machine fails, not a subject: files, processes, memory.
pub(crate) fn run(
    subjects: &[&dyn Subject],
    kinds: &[CrashKind],
    plan: &Plan,
    stop: &AtomicBool,
    reporter: &dyn Reporter,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for subject in subjects {
        for case in plan.cases(kinds) {
            if stop.load(Ordering::Relaxed) {
                return Ok(rows);
            }
            let index = rows.len() as u64;
            if let Err(why) = availability(*subject, case, plan) {
                let row = Row::unavailable(subject.name(), case.crash, case.fs, plan.seed, why);
                reporter.report(&Progress::RowEnded(&row));
                rows.push(row);
                continue;
            }
            let scratch = Scratch::create(&plan.scratch_dir(case.crash == CrashKind::Syscall))?;
            reporter.report(&Progress::RowBegan {
                subject: subject.name(),
                case: &case_name(case.crash, case.fs),
                budget: plan.budget,
            });
            let row = torture_row(*subject, case, index, plan, scratch.path(), stop, reporter);
            let strays = end_strays(scratch.path())?;
            let row = Row { strays, ..row? };
            reporter.report(&Progress::RowEnded(&row));
            let ends_it = plan.fail_fast && row.tally.violations > 0;
            rows.push(row);
            if ends_it {
                return Ok(rows);
            }
        }
    }
    Ok(rows)
}

/// A crash kind, and the real file system if it needs one: a row for each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    crash: CrashKind,
    fs: Option<FileSystemKind>,
}

impl Plan {
    /// The rows of each subject.
    pub(crate) fn cases(&self, kinds: &[CrashKind]) -> Vec<Case> {
        let mut cases = Vec::new();
        for &crash in kinds {
            if crash != CrashKind::Disk {
                cases.push(Case { crash, fs: None });
                continue;
            }
            let all = FileSystemKind::ALL;
            let wanted = match self.file_systems.as_slice() {
                [] => &all,
                wanted => wanted,
            };
            let case = |fs: &FileSystemKind| Case {
                crash,
                fs: Some(*fs),
            };
            cases.extend(wanted.iter().map(case));
        }
        cases
    }
}

/// Whether a subject can be tortured in a way, here; if not, why.
fn availability(subject: &dyn Subject, case: Case, plan: &Plan) -> Result<(), String> {
    let kind = case.crash;
    if let Some(fs) = case.fs {
        return doctor::on_disk(fs).map_err(|why| format!("{fs}: {why}"));
    }
    if kind.is_simulated() && subject.simulated().is_none() {
        return Err(format!(
            "{} does not run on the simulated file system; a store does if it implements \
             Subject::simulated",
            subject.name()
        ));
    }
    if kind.is_simulated() && plan.simulated_engines_of(subject).is_empty() {
        return Err(format!(
            "{} does not run with these engines on the simulated file system",
            subject.name()
        ));
    }
    doctor::availability(kind, &plan.launcher)
}

/// These kinds were asked for by name, so each must be available.
pub(crate) fn require(
    subject: &dyn Subject,
    kinds: &[CrashKind],
    plan: &Plan,
) -> Result<(), String> {
    plan.cases(kinds).into_iter().try_for_each(|case| {
        availability(subject, case, plan)
            .map_err(|why| format!("crash kind '{}' is unavailable: {why}", case.crash))
    })
}

/// What a failure keeps to be played again.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Script {
    /// Of `syscall`.
    Generations(Vec<Generation>),
    /// On the simulated file system.
    Timeline(Box<Timeline>),
}

/// Plays a script, as a failure keeps it.
///
/// # Errors
/// If it is no script, or the machine fails.
pub(crate) fn play(subject: &dyn Subject, script: &str, plan: &Plan) -> io::Result<Row> {
    let script: Script = serde_json::from_str(script)?;
    let scratch = Scratch::create(&plan.scratch_dir(true))?;
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    // All crash states of the script's last life; or all moments of it, and some outcomes of each.
    let coverage = match &script {
        Script::Generations(_) => Coverage::Exhaustive,
        Script::Timeline(_) => Coverage::Sampled,
    };
    let crash = match &script {
        Script::Timeline(timeline) => {
            tally.rounds = 1;
            let image = scratch.path().join("image");
            findings.extend(simulated::play(subject, timeline, plan, &image)?);
            for finding in &findings {
                tally.violated(&finding.violation);
            }
            timeline.kind()
        }
        Script::Generations(script) => {
            for engine in plan.engines_of(subject) {
                let rng = stream(plan.seed, 0);
                let mut lane = syscall::Lane::new(subject, plan, scratch.path(), "script", rng);
                findings.extend(lane.play(engine, script, &mut tally)?);
            }
            CrashKind::Syscall
        }
    };
    let save = |finding: Finding| {
        Ok(SavedFailure {
            folder: finding.save(&plan.out)?,
            violation: finding.violation.to_string(),
            class: finding.violation.class(),
            after_states: tally.crash_states,
            after_s: started.elapsed().as_secs_f64(),
        })
    };
    let failures = findings.into_iter().map(save).collect::<io::Result<_>>()?;
    let elapsed_s = started.elapsed().as_secs_f64();
    Ok(Row {
        subject: subject.name().to_owned(),
        crash,
        fs: None,
        seed: plan.seed,
        rounds_per_s: tally.rounds as f64 / elapsed_s,
        states_per_s: tally.crash_states as f64 / elapsed_s,
        elapsed_s,
        tally,
        coverage,
        strays: 0,
        unavailable: None,
        failures,
    })
}

/// What the threads of a row share.
struct Shared {
    tally: Tally,
    failures: Vec<SavedFailure>,
    error: Option<io::Error>,
}

fn torture_row(
    subject: &dyn Subject,
    Case { crash, fs }: Case,
    index: u64,
    plan: &Plan,
    scratch: &Path,
    stop: &AtomicBool,
    reporter: &dyn Reporter,
) -> io::Result<Row> {
    let goes_on = plan.goes_on(subject);
    let started = Instant::now();
    let tickets = AtomicU64::new(0);
    let shared = Mutex::new(Shared {
        tally: Tally::default(),
        failures: Vec::new(),
        error: None,
    });
    let lock = || shared.lock().expect("no thread panics with the lock");
    let go_on = || {
        let number = plan.shard.number(tickets.fetch_add(1, Ordering::Relaxed));
        let in_budget = match plan.budget {
            Budget::Rounds(rounds) => number < rounds,
            Budget::Duration(duration) => started.elapsed() < duration,
        };
        let more = in_budget && !stop.load(Ordering::Relaxed) && {
            let shared = lock();
            let failures_max = if plan.fail_fast {
                1
            } else if goes_on {
                usize::MAX
            } else {
                FAILURES_MAX
            };
            shared.error.is_none() && shared.failures.len() < failures_max
        };
        more.then_some(number)
    };
    let work = |lane: usize| {
        let lane = plan.shard.number(lane as u64);
        let mut lane = Lane::new(crash, subject, plan, scratch, fs, stop, (index, lane));
        while let Some(number) = go_on() {
            let mut tally = Tally::default();
            let found = lane.round(number, &mut tally);
            let mut shared = lock();
            let states_before = shared.tally.crash_states;
            shared.tally.add(&tally);
            reporter.report(&Progress::RoundEnded {
                total: &shared.tally,
                elapsed: started.elapsed(),
            });
            let kept = found.and_then(|found| {
                for Found {
                    finding,
                    states,
                    at,
                } in found
                {
                    let class = finding.violation.class();
                    let is_known = shared.failures.iter().any(|known| known.class == class);
                    if goes_on && is_known {
                        continue;
                    }
                    let failure = SavedFailure {
                        folder: finding.save(&plan.out)?,
                        violation: finding.violation.to_string(),
                        class,
                        after_states: states_before + states,
                        after_s: at.duration_since(started).as_secs_f64(),
                    };
                    reporter.report(&Progress::FailureSaved(&failure));
                    shared.failures.push(failure);
                }
                Ok(())
            });
            if let Err(error) = kept {
                shared.error = Some(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for lane in 0..plan.jobs {
            let work = &work;
            scope.spawn(move || work(lane));
        }
    });
    let elapsed_s = started.elapsed().as_secs_f64();
    let Shared {
        tally,
        failures,
        error,
    } = shared.into_inner().expect("no thread panicked");
    match error {
        Some(error) => Err(error),
        None => Ok(Row {
            subject: subject.name().to_owned(),
            crash,
            fs,
            seed: plan.seed,
            rounds_per_s: tally.rounds as f64 / elapsed_s,
            states_per_s: tally.crash_states as f64 / elapsed_s,
            elapsed_s,
            tally,
            coverage: Coverage::Sampled,
            strays: 0,
            unavailable: None,
            failures,
        }),
    }
}
