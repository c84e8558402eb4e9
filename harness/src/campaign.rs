//! Rounds of crash and check over subjects and crash kinds, on several threads.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::child::{HANG_LIMIT, Launcher, end_strays};
use crate::crash::simulated::{self, Timeline};
use crate::crash::{CrashKind, Found, Lane, syscall};
use crate::disk::{FileSystem, FileSystemKind};
use crate::doctor;
use crate::finding::{Finding, Generation};
use crate::scratch::Scratch;
use crate::shard::Shard;
use crate::sim::Profile;
use crate::subject::Subject;
use crate::tally::Tally;
use crate::workload::stream;

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many rounds a row.
    Rounds(u64),
    /// So long a row.
    Duration(Duration),
}

/// How a real file system is made and mounted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskOptions {
    /// Size of the disk in bytes, if not the smallest that makes sense.
    pub bytes: Option<u64>,
    /// What `mkfs` is told beside the usual.
    pub mkfs: Vec<String>,
    /// What `mount` is told beside the usual, as behind `-o`.
    pub mount: Option<String>,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How children are started.
    pub launcher: Launcher,
    /// For each row of the table.
    pub budget: Budget,
    /// Everything random derives from it.
    pub seed: u64,
    /// How many directories are tortured at the same time.
    pub jobs: usize,
    /// Restricts [`Subject::engines`]; empty for all.
    pub engines: Vec<String>,
    /// Where stores live while they are tortured, if it matters.
    pub scratch: Option<PathBuf>,
    /// Where failures are saved.
    pub out: PathBuf,
    /// Real file systems for `disk`; empty for all that this machine has.
    pub file_systems: Vec<FileSystemKind>,
    /// How they are made and mounted, apart from what their kind says.
    pub disk: DiskOptions,
    /// Rules by which the simulated file system loses things; empty for all.
    pub profiles: Vec<Profile>,
    /// A child that has to end, or to answer, is given so long.
    pub hang_limit: Duration,
    /// Which rounds are ours.
    pub shard: Shard,
    /// A row goes on after failures, to its end, and keeps one of each class.
    pub keep_going: bool,
    /// The first failure ends everything.
    pub fail_fast: bool,
}

impl Plan {
    /// What it takes to look at a saved failure again.
    pub(crate) fn of_finding(finding: &Finding) -> Self {
        Self {
            launcher: Launcher::Binary,
            budget: Budget::Rounds(1),
            seed: finding.seed,
            jobs: 1,
            engines: Vec::new(),
            scratch: None,
            out: PathBuf::new(),
            file_systems: Vec::new(),
            disk: DiskOptions::default(),
            profiles: Vec::new(),
            hang_limit: HANG_LIMIT,
            shard: Shard::WHOLE,
            keep_going: false,
            fail_fast: false,
        }
    }

    /// Whether a row of this subject goes on after failures.
    pub(crate) fn goes_on(&self, subject: &dyn Subject) -> bool {
        self.keep_going || subject.exhibit().is_some()
    }

    /// Where stores live while they are tortured: what is copied at every step lives in memory.
    pub(crate) fn scratch_of(&self, crash: CrashKind) -> PathBuf {
        let memory = Path::new("/dev/shm");
        match &self.scratch {
            Some(dir) => dir.clone(),
            None if crash == CrashKind::Syscall && memory.is_dir() => memory.to_owned(),
            None => std::env::temp_dir(),
        }
    }

    /// A real file system, as it is to be made and mounted.
    pub(crate) fn file_system(&self, kind: FileSystemKind) -> FileSystem {
        let mut file_system = FileSystem::new(kind);
        file_system.bytes = self.disk.bytes.unwrap_or(file_system.bytes);
        file_system.mkfs_args.extend_from_slice(&self.disk.mkfs);
        match &self.disk.mount {
            Some(options) => file_system.mounted_with(options),
            None => file_system,
        }
    }

    /// The rules by which the simulated file system loses things.
    pub(crate) fn profiles(&self) -> &[Profile] {
        if self.profiles.is_empty() {
            &Profile::ALL
        } else {
            &self.profiles
        }
    }

    /// The engines with which a subject is tortured.
    pub(crate) fn engines_of(&self, subject: &dyn Subject) -> Vec<&'static str> {
        let wanted =
            |engine: &&str| self.engines.is_empty() || self.engines.iter().any(|e| e == engine);
        subject.engines().iter().copied().filter(wanted).collect()
    }

    /// Those of them that run on the simulated file system.
    pub(crate) fn simulated_engines_of(&self, subject: &dyn Subject) -> Vec<&'static str> {
        let mut engines = self.engines_of(subject);
        engines.retain(|engine| subject.simulated().is_some_and(|store| store.runs(engine)));
        engines
    }
}

/// One line of the verdict table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Subject under test.
    pub subject: String,
    /// How it died.
    pub crash: CrashKind,
    /// On which real file system, if that is part of how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs: Option<FileSystemKind>,
    /// The seed.
    pub seed: u64,
    /// What was done and seen.
    #[serde(flatten)]
    pub tally: Tally,
    /// Wall time in seconds.
    pub elapsed_s: f64,
    /// Rounds a second.
    pub rounds_per_s: f64,
    /// Crash states a second, all jobs together.
    pub states_per_s: f64,
    /// How much of what there is was looked at.
    pub coverage: Coverage,
    /// Processes that the subject had started outside its process group and left running. They were
    /// killed when the row was over.
    pub strays: u64,
    /// Why this machine cannot run it: then nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// The folders of saved failures, with the first broken promise.
    pub failures: Vec<SavedFailure>,
}

impl Row {
    /// How it died, and where: `kill`, `disk ext4`.
    pub fn case(&self) -> String {
        match self.fs {
            Some(fs) => format!("{} {fs}", self.crash),
            None => self.crash.to_string(),
        }
    }

    fn unavailable(subject: &dyn Subject, case: Case, seed: u64, why: String) -> Self {
        Self {
            subject: subject.name().to_owned(),
            crash: case.crash,
            fs: case.fs,
            seed,
            tally: Tally::default(),
            elapsed_s: 0.0,
            rounds_per_s: 0.0,
            states_per_s: 0.0,
            coverage: Coverage::None,
            strays: 0,
            unavailable: Some(why),
            failures: Vec::new(),
        }
    }
}

/// How much of what there is a row has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Nothing: this machine cannot do it.
    None,
    /// Some, drawn from the seed.
    Sampled,
    /// Everything.
    Exhaustive,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Sampled => "sampled",
            Self::Exhaustive => "exhaustive",
        })
    }
}

/// A failure on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedFailure {
    /// Its folder.
    pub folder: PathBuf,
    /// What was broken, in words.
    pub violation: String,
    /// What sort of failure it is; see [`Violation::class`](crate::oracle::Violation::class).
    #[serde(default)]
    pub class: String,
    /// Crash states that its row had looked at by then.
    #[serde(default)]
    pub after_states: u64,
    /// Seconds that its row had taken by then.
    #[serde(default)]
    pub after_s: f64,
}

/// Is told how a torture goes. Called from many threads.
pub(crate) trait Observer: Sync {
    /// A row begins.
    fn begin(&self, subject: &str, crash: CrashKind, budget: Budget);
    /// A round is over; `total` is the row so far, `elapsed` since it began.
    fn round(&self, total: &Tally, elapsed: Duration);
    /// A failure was saved.
    fn failure(&self, failure: &SavedFailure);
    /// A row is over.
    fn end(&self, row: &Row);
}

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
    observer: &dyn Observer,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for subject in subjects {
        for case in plan.cases(kinds) {
            if stop.load(Ordering::Relaxed) {
                return Ok(rows);
            }
            let index = rows.len() as u64;
            if let Err(why) = availability(*subject, case, plan) {
                let row = Row::unavailable(*subject, case, plan.seed, why);
                observer.end(&row);
                rows.push(row);
                continue;
            }
            let scratch = Scratch::create(&plan.scratch_of(case.crash))?;
            let row = torture_row(*subject, case, index, plan, scratch.path(), stop, observer);
            let strays = end_strays(scratch.path())?;
            let row = Row { strays, ..row? };
            observer.end(&row);
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
    let scratch = Scratch::create(&plan.scratch_of(CrashKind::Syscall))?;
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
    observer: &dyn Observer,
) -> io::Result<Row> {
    observer.begin(subject.name(), crash, plan.budget);
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
            observer.round(&shared.tally, started.elapsed());
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
                    observer.failure(&failure);
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
