//! Rounds of crash and check over subjects and crash kinds, on several threads.

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use twox_hash::XxHash3_64;

use crate::crash_kind::CrashKind;
use crate::environment;
use crate::finding::{Finding, Found};
use crate::hang::OnHang;
use crate::kinds::{self, Case, Job, REGISTRY};
use crate::plan::{Budget, Plan};
use crate::process::end_strays;
use crate::report::{Ledger, Progress, Row, SavedFailure, case_name};
use crate::scratch::Scratch;
use crate::store::Tested;
use crate::tally::Tally;

/// A row that does not continue after failures stops after this number: more of them say nothing new.
const FAILURES_MAX: usize = 3;

/// What receives the events of a torture while it runs.
#[derive(Clone, Copy)]
pub(crate) struct Watching<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) on_hang: &'a OnHang,
}

/// Subjects, and the crash kinds of each.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) subjects: &'a [Tested<'a>],
    pub(crate) kinds: &'a [CrashKind],
    /// Each kind does as many rounds as are usual for it, instead of what the plan says.
    pub(crate) is_usual: bool,
}

/// Tortures each subject of each pass with each crash kind, one after the other. Where the machine
/// fails, not a subject, the row says so, and the others are done.
pub(crate) fn run(passes: &[Pass<'_>], plan: &Plan, watching: Watching<'_>) {
    let mut planned = Vec::new();
    for pass in passes {
        planned.extend(pass.subjects.iter().flat_map(|tested| {
            let cases = cases(pass.kinds, plan).into_iter();
            cases.map(|case| (*tested, case, pass.is_usual))
        }));
    }
    let names = planned.iter().map(|(tested, case, _)| {
        let recorder = kinds::of(case.crash).recorder(*tested, plan);
        let case = case_name(case.crash, case.fs, recorder);
        (tested.name().to_owned(), case)
    });
    watching.ledger.plan(plan.seed, plan.shard, names.collect());
    for (tested, case, is_usual) in planned {
        let usual = Plan {
            budget: Budget::Rounds(case.crash.usual_rounds()),
            ..plan.clone()
        };
        let plan = if is_usual { &usual } else { plan };
        if plan.stop.is_set() || row(tested, case, plan, watching).is_break() {
            return;
        }
    }
}

/// Tells a row's randomness from that of others. It depends on what the row does, not on its place: the same
/// seed draws the same, whatever else is asked for.
fn key(row: &Row) -> u64 {
    let name = format!("{}\n{}", row.subject, row.case());
    XxHash3_64::oneshot(name.as_bytes()) >> 32
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

/// One round was asked for, so each of these kinds must be able to do it alone.
pub(crate) fn require_lone_rounds(
    tested: Tested<'_>,
    kinds: &[CrashKind],
    plan: &Plan,
) -> Result<(), String> {
    let kinds = kinds.iter().map(|kind| kinds::of(*kind));
    let mut unable = kinds.filter(|kind| !kind.has_lone_rounds(tested, plan));
    unable.next().map_or(Ok(()), |kind| {
        Err(format!(
            "one round alone is for power, fault and rot of a store that runs on the simulated file system: a \
             round of `{}` of {} goes on where the one before it has ended",
            kind.id(),
            tested.name()
        ))
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
) -> io::Result<()> {
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
            on_hang: watching.on_hang,
        };
        let Some(played) = kind.play(&script, &job, &mut tally)? else {
            continue;
        };
        let ledger = watching.ledger;
        let row = Row::nothing(tested.name(), played.crash, None, plan.seed);
        ledger.begin(row, started);
        ledger.add(&tally);
        for finding in &played.findings {
            let (failure, error) = save(finding, plan, tally.crash_states, started, Instant::now());
            ledger.add_failure(failure);
            if let Some(error) = error {
                ledger.set_error(error);
            }
        }
        ledger.end(|row| Row {
            coverage: played.coverage,
            ..row
        });
        return Ok(());
    }
    let reason = "this is no script: neither the generations of `syscall` nor a timeline of the \
                  simulated file system";
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

/// Keeps a finding on disk. One that cannot be saved is told all the same, and why it was not.
fn save(
    finding: &Finding,
    plan: &Plan,
    after_states: u64,
    started: Instant,
    at: Instant,
) -> (SavedFailure, Option<String>) {
    let violation = finding.violation.to_string();
    let finding = finding.clone().with_given(plan.image.as_deref());
    let (folder, violation, error) = match finding.save(&plan.out) {
        Ok(folder) => (folder, violation, None),
        Err(error) => {
            let why = format!("cannot save a failure: {error}");
            (PathBuf::new(), format!("{violation}\n  ({why})"), Some(why))
        }
    };
    let saved = SavedFailure {
        folder,
        violation,
        class: finding.violation.class(),
        after_states,
        after_s: at.duration_since(started).as_secs_f64(),
    };
    (saved, error)
}

/// Does a row, and says whether the torture continues.
fn row(tested: Tested<'_>, case: Case, plan: &Plan, watching: Watching<'_>) -> ControlFlow<()> {
    let kind = kinds::of(case.crash);
    let Case { crash, fs } = case;
    let ledger = watching.ledger;
    let nothing = Row {
        recorder: kind.recorder(tested, plan),
        ..Row::nothing(tested.name(), crash, fs, plan.seed)
    };
    if let Err(why) = kind.available(tested, case, plan) {
        let unavailable = Some(why);
        ledger.push(Row {
            unavailable,
            ..nothing
        });
        return ControlFlow::Continue(());
    }
    let base = plan.scratch_dir(kind.wants_memory());
    let scratch = match Scratch::create(&base) {
        Ok(scratch) => scratch,
        Err(error) => {
            let why = format!("cannot make a directory in {}: {error}", base.display());
            let error = Some(why);
            ledger.push(Row { error, ..nothing });
            return ControlFlow::Continue(());
        }
    };
    ledger.report(&Progress::RowBegan {
        subject: tested.name(),
        case: &nothing.case(),
        budget: plan.budget,
    });
    let key = key(&nothing);
    ledger.begin(nothing, Instant::now());
    torture(tested, case, key, plan, scratch.path(), watching);
    let strays = end_strays(scratch.path()).unwrap_or_else(|error| {
        ledger.set_error(format!("cannot end what was left running: {error}"));
        0
    });
    let mut violations = 0;
    ledger.end(|row| {
        violations = row.tally.violations;
        Row { strays, ..row }
    });
    if plan.fail_fast && violations > 0 {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// What the threads of a row share.
struct Shared<'a> {
    plan: &'a Plan,
    goes_on: bool,
    scratch: &'a Path,
    started: Instant,
    watching: Watching<'a>,
    /// Rounds that were handed out.
    tickets: AtomicU64,
    /// Failures are saved one after the other.
    saving: Mutex<()>,
}

fn torture(
    tested: Tested<'_>,
    case: Case,
    key: u64,
    plan: &Plan,
    scratch: &Path,
    watching: Watching<'_>,
) {
    let shared = Shared {
        plan,
        goes_on: plan.keep_going || tested.exhibit().is_some(),
        scratch,
        started: Instant::now(),
        watching,
        tickets: AtomicU64::new(0),
        saving: Mutex::default(),
    };
    let work = |lane: usize| {
        let mut worker = kinds::of(case.crash).worker(Job {
            tested,
            case,
            plan,
            scratch,
            row: key,
            lane: plan.shard.number(lane as u64),
            on_hang: watching.on_hang,
        });
        while let Some(number) = shared.next_round() {
            let mut tally = Tally::default();
            let found = worker.round(number, &mut tally);
            shared.note(&tally, found);
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let start = |lane| thread::Builder::new().spawn_scoped(scope, move || work(lane));
        let started: Vec<_> = (0..plan.jobs).map(start).collect();
        for thread in started {
            let why = match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => {
                    "a thread of the torture panicked: its message stands above".to_owned()
                }
                Err(error) => format!("cannot start a thread: {error}"),
            };
            watching.ledger.set_error(why);
        }
    });
}

impl Shared<'_> {
    /// The number of the next round, if there is to be one.
    fn next_round(&self) -> Option<u64> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let number = self.plan.shard.number(ticket);
        let in_budget = match (self.plan.round, self.plan.budget) {
            (Some(_), _) => ticket == 0,
            (None, Budget::Rounds(rounds)) => number < rounds,
            (None, Budget::Duration(duration)) => self.started.elapsed() < duration,
        };
        let failures_max = match (self.plan.fail_fast, self.goes_on) {
            (true, _) => 1,
            (_, true) => usize::MAX,
            _ => FAILURES_MAX,
        };
        let noted = self.watching.ledger.noted();
        if !in_budget || noted.has_error || noted.failures >= failures_max {
            return None;
        }
        if self.plan.stop.is_set() {
            self.watching.ledger.cut_short();
            return None;
        }
        Some(self.plan.round.unwrap_or(number))
    }

    /// Takes note of a round.
    fn note(&self, tally: &Tally, found: io::Result<Vec<Found>>) {
        let ledger = self.watching.ledger;
        let mut tally = tally.clone();
        // A class leaves numbers out, and not every failure of a class is handed over.
        let found_excused = |class: &str| {
            let mut found = found.iter().flatten().map(|found| &found.finding.violation);
            found.any(|violation| {
                violation.class() == class && environment::excuses(violation, self.scratch).is_err()
            })
        };
        tally.excuse(|class| {
            found_excused(class) || environment::lack(class, self.scratch).is_some()
        });
        tally.pass_over(|class| self.plan.known.is_class(class));
        let (before, total) = ledger.add(&tally);
        ledger.report(&Progress::RoundEnded {
            total: &total,
            elapsed: self.started.elapsed(),
        });
        // Whether it came to its own end cannot be told.
        if self.plan.stop.is_set() {
            ledger.cut_short();
        }
        match found {
            Ok(found) => {
                for found in &found {
                    self.keep(found, before.crash_states);
                }
            }
            // It was broken off: that is no error.
            Err(error) if self.plan.stop.is_set() && error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                ledger.set_error(environment::explained(error, self.scratch).to_string());
            }
        }
    }

    /// Keeps a failure; where the row continues after failures, the first of its class.
    fn keep(&self, found: &Found, states_before: u64) {
        let Found {
            finding,
            states,
            at,
        } = found;
        if self.plan.known.contains(&finding.violation) {
            return;
        }
        let ledger = self.watching.ledger;
        if let Err(error) = environment::excuses(&finding.violation, self.scratch) {
            ledger.set_error(error.to_string());
            return;
        }
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if self.goes_on && ledger.has_class(&finding.violation.class()) {
            return;
        }
        let states = states_before + states;
        let (failure, error) = save(finding, self.plan, states, self.started, *at);
        ledger.add_failure(failure);
        if let Some(error) = error {
            ledger.set_error(error);
        }
    }
}
