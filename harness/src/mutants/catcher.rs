//! Whoever may notice a mutant: how it is built and run, and how its answer is understood.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Ended, How, Program};
use super::result::Verdict;
use super::tree::Slot;
use crate::crash::CrashKind;
use crate::scratch::remove_dir;

/// A build that takes longer is no build.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
/// Beside its budget, a torture is given so long to come to its end: it says itself what hangs.
const GRACE: Duration = Duration::from_secs(90);
/// A catcher is given so long by itself.
const BUDGET: Duration = Duration::from_secs(20);
/// Tests know themselves when they are through; they are given so long.
const TESTS_LIMIT: Duration = Duration::from_secs(180);
/// Where a torture saves what it finds.
const FAILURES: &str = "failures";
/// Everything random in a catcher derives from it.
const SEED: &str = "1";

/// Whoever may notice a mutant. See the [module](super).
#[derive(Clone, Debug)]
pub struct Catcher {
    pub(super) name: String,
    pub(super) sees: String,
    budget: Duration,
    needs: Option<Need>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Torture {
        package: String,
        subject: String,
    },
    Tests {
        package: String,
        targets: Vec<String>,
    },
    Command {
        build: String,
        run: String,
        argument: String,
    },
}

/// What must be there, and how to get it.
#[derive(Clone, Debug)]
struct Need {
    command: String,
    hint: String,
}

/// What is the same for all catchers of a run.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) target: PathBuf,
    /// Builds take turns: they share a target directory, and the last part of a build is a copy out
    /// of it.
    pub(super) building: Mutex<()>,
    pub(super) stop: &'a AtomicBool,
    /// Instead of each catcher's own.
    pub(super) budget: Option<Duration>,
}

/// Why a catcher gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    DoesNotCompile(String),
    Stopped,
    Machine(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

/// What a catcher says of a mutant.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Crash states it looked at.
    pub(super) states: Option<u64>,
    /// What it saw, or why it could not look.
    pub(super) detail: String,
    pub(super) elapsed: Duration,
}

impl Answer {
    fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            states: None,
            detail: detail.into(),
            elapsed: Duration::ZERO,
        }
    }
}

impl Catcher {
    /// A crash kind: the torture binary of `package`, on `subject` if a mutant names no other as the
    /// argument.
    pub fn torture(crash: CrashKind, package: &str, subject: &str) -> Self {
        let kind = Kind::Torture {
            package: package.to_owned(),
            subject: subject.to_owned(),
        };
        Self::new(&crash.to_string(), crash.description(), kind)
    }

    /// Test binaries of `package`, each named as by `cargo test --test`. They know by themselves when
    /// they are through, so there is no budget but a limit of three minutes each.
    ///
    /// A mutant may name as the argument one of several targets, or one and a filter for its tests:
    /// `tests(faults::rolled_back)`. Of a single target it names the filter: `races(closing)`.
    pub fn tests(name: &str, package: &str, targets: &[&str]) -> Self {
        let kind = Kind::Tests {
            package: package.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        Self::new(name, "what these tests assert", kind)
    }

    /// A command for the shell that fails if it sees a bug, and one that builds it. Both run in the
    /// copy of the tree. In both, `{argument}` stands for what a mutant names as the argument, or
    /// else for `argument`, and `{budget}` for seconds.
    pub fn command(name: &str, build: &str, run: &str, argument: &str) -> Self {
        let kind = Kind::Command {
            build: build.to_owned(),
            run: run.to_owned(),
            argument: argument.to_owned(),
        };
        Self::new(name, "what this command checks", kind)
    }

    fn new(name: &str, sees: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            sees: sees.to_owned(),
            budget: BUDGET,
            needs: None,
            kind,
        }
    }

    /// How long it looks before it gives up; 20 s if nothing is said. Whole seconds.
    #[must_use]
    pub fn budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// What it sees, in a few words for a table.
    #[must_use]
    pub fn sees(self, sees: &str) -> Self {
        let sees = sees.to_owned();
        Self { sees, ..self }
    }

    /// A command that succeeds where the catcher can run, and how to get what is missing elsewhere.
    #[must_use]
    pub fn needs(self, command: &str, hint: &str) -> Self {
        let need = Need {
            command: command.to_owned(),
            hint: hint.to_owned(),
        };
        Self {
            needs: Some(need),
            ..self
        }
    }

    /// Why it cannot be asked about this, if it cannot.
    pub(super) fn misfit(&self, argument: Option<&str>) -> Option<String> {
        let Kind::Tests { targets, .. } = &self.kind else {
            return None;
        };
        let (wanted, _) = chosen(targets, argument);
        let unknown = wanted.iter().find(|target| !targets.contains(target))?;
        let (name, known) = (&self.name, targets.join(", "));
        Some(format!(
            "'{unknown}' is no test binary of '{name}'; known are: {known}"
        ))
    }

    pub(super) fn budget_of(&self, bench: &Bench<'_>) -> Duration {
        match self.kind {
            Kind::Tests { .. } => TESTS_LIMIT,
            _ => bench.budget.unwrap_or(self.budget),
        }
    }

    /// Builds it in a slot and runs it.
    pub(super) fn look(
        &self,
        argument: Option<&str>,
        slot: &mut Slot<'_>,
        bench: &Bench<'_>,
    ) -> Result<Answer, Trouble> {
        if let Some(need) = &self.needs {
            let check = Program::shell(need.command.clone());
            let ended = check.run(&slot.path, GRACE, bench.stop, |_| false)?;
            if !matches!(ended.how, How::ByItself(status) if status.success()) {
                return Ok(Answer::new(Verdict::Unavailable, need.hint.clone()));
            }
        }
        let turn = bench.building.lock().expect("nobody panics with it");
        let executables = self.build(argument, slot, bench)?;
        // A command runs what was built in the place where the next build will write.
        let _turn = matches!(self.kind, Kind::Command { .. }).then_some(turn);
        let budget = self.budget_of(bench);
        let started = Instant::now();
        let answer = match &self.kind {
            Kind::Torture { subject, .. } => {
                let subject = argument.unwrap_or(subject);
                self.torture_once(&executables[0], subject, budget, slot, bench.stop)?
            }
            Kind::Tests { targets, .. } => {
                let (_, filter) = chosen(targets, argument);
                run_tests(&executables, filter, slot, bench.stop)?
            }
            Kind::Command {
                run, argument: own, ..
            } => {
                let program = self.shell(run, argument.unwrap_or(own), bench);
                let ended = program.run(&slot.path, budget + GRACE, bench.stop, |_| false)?;
                match ended.how {
                    How::ByItself(status) if status.success() => Answer::new(Verdict::Missed, ""),
                    How::ByItself(_) => Answer::new(Verdict::Caught, last_line(&ended)),
                    _ => Answer::new(Verdict::TimedOut, "it did not end"),
                }
            }
        };
        let elapsed = started.elapsed();
        remove_dir(&slot.out.join(FAILURES))?;
        if bench.stop.load(std::sync::atomic::Ordering::Relaxed) {
            // It was interrupted, so what it did not see means nothing.
            return Err(Trouble::Stopped);
        }
        Ok(Answer { elapsed, ..answer })
    }

    /// Returns copies of what was built: the next build writes to the same place. What one catcher
    /// has built, another may use. The caller has the turn to build.
    fn build(
        &self,
        argument: Option<&str>,
        slot: &mut Slot<'_>,
        bench: &Bench<'_>,
    ) -> Result<Vec<PathBuf>, Trouble> {
        let (program, wanted, is_test) = match &self.kind {
            Kind::Torture { package, .. } => {
                let words = format!("cargo build --release --bins --package {package}");
                (cargo(&words, bench), vec![package.clone()], false)
            }
            Kind::Tests { package, targets } => {
                let (wanted, _) = chosen(targets, argument);
                let mut words = format!("cargo test --no-run --package {package}");
                for target in &wanted {
                    words.push_str(" --test ");
                    words.push_str(target);
                }
                (cargo(&words, bench), wanted, true)
            }
            Kind::Command {
                build,
                argument: own,
                ..
            } => {
                let program = self.shell(build, argument.unwrap_or(own), bench);
                (program, Vec::new(), false)
            }
        };
        let key = program.words.join(" ");
        let is_command = matches!(self.kind, Kind::Command { .. });
        if let Some(executables) = slot.built(&key).filter(|_| !is_command) {
            return Ok(executables.to_vec());
        }
        slot.freshen()?;
        let ended = program.run(&slot.path, BUILD_LIMIT, bench.stop, |_| false)?;
        match ended.how {
            How::ByItself(status) if status.success() => {}
            How::Stopped => return Err(Trouble::Stopped),
            How::TimedOut => {
                let why = format!("its build does not end within {BUILD_LIMIT:?}");
                return Err(Trouble::DoesNotCompile(why));
            }
            _ => return Err(Trouble::DoesNotCompile(ended.stderr.trim().to_owned())),
        }
        let built = executables(&ended.stdout, is_test);
        let mut copies = Vec::new();
        for name in &wanted {
            let found = built.iter().find(|(target, _)| target == name);
            let Some((_, path)) = found else {
                let why = format!("the build of {name} made no executable");
                return Err(Trouble::Machine(io::Error::other(why)));
            };
            let copy = slot.out.join(name);
            fs::copy(path, &copy)?;
            copies.push(copy);
        }
        slot.note_built(key, copies.clone());
        Ok(copies)
    }

    fn shell(&self, line: &str, argument: &str, bench: &Bench<'_>) -> Program {
        let budget = self.budget_of(bench).as_secs().max(1).to_string();
        let line = line
            .replace("{argument}", argument)
            .replace("{budget}", &budget);
        Program::shell(line).env("CARGO_TARGET_DIR", bench.target.to_string_lossy())
    }

    fn torture_once(
        &self,
        binary: &Path,
        subject: &str,
        budget: Duration,
        slot: &Slot<'_>,
        stop: &AtomicBool,
    ) -> Result<Answer, Trouble> {
        let (kind, seconds) = (&self.name, budget.as_secs().max(1));
        let mut program = Program::new(&format!(
            "BINARY run {subject} --crash {kind} --duration {seconds}s --seed {SEED} --jobs 1 \
             --fail-fast --json --out FAILURES"
        ));
        program.words[0] = binary.to_string_lossy().into_owned();
        let out = program.words.last_mut().expect("there are words");
        *out = slot.out.join(FAILURES).to_string_lossy().into_owned();
        let ended = program.run(&slot.path, budget + GRACE, stop, |_| false)?;
        Ok(understand(&ended))
    }
}

/// The targets that an argument asks for, and the filter for their tests.
fn chosen<'a>(targets: &[String], argument: Option<&'a str>) -> (Vec<String>, Option<&'a str>) {
    match (argument, targets) {
        (None, _) | (_, [_]) => (targets.to_vec(), argument),
        (Some(argument), _) => {
            let split = argument.split_once("::");
            let (target, filter) = split.map_or((argument, None), |(it, rest)| (it, Some(rest)));
            (vec![target.to_owned()], filter)
        }
    }
}

/// A build that says what it makes.
fn cargo(words: &str, bench: &Bench<'_>) -> Program {
    Program::new(&format!(
        "{words} --locked --message-format json-render-diagnostics"
    ))
    .env("CARGO_TARGET_DIR", bench.target.to_string_lossy())
    .env("CARGO_TERM_COLOR", "never")
    // Nobody looks at them with a debugger, and they take half of a build.
    .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
    .env("CARGO_PROFILE_DEV_DEBUG", "false")
    .env("CARGO_PROFILE_TEST_DEBUG", "false")
}

/// The executables that cargo says it has built: target and path.
fn executables(messages: &str, is_test: bool) -> Vec<(String, PathBuf)> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = |message: Value| {
        let path = message["executable"].as_str()?;
        let name = message["target"]["name"].as_str()?;
        let wanted = message["profile"]["test"] == is_test;
        wanted.then(|| (name.to_owned(), PathBuf::from(path)))
    };
    messages.filter_map(executable).collect()
}

/// What a torture's report and exit status say.
fn understand(ended: &Ended) -> Answer {
    let lines = || {
        ended
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    };
    let status = match ended.how {
        How::ByItself(status) => status,
        How::TimedOut => return Answer::new(Verdict::TimedOut, "the torture did not end"),
        How::Stopped | How::Enough => return Answer::new(Verdict::Missed, "interrupted"),
    };
    let summary = lines().find_map(|mut line| line.get_mut("summary").map(Value::take));
    let Some(summary) = summary else {
        let verdict = match status.code() {
            // It hung, or what it said about it was all it could.
            Some(1) => Verdict::Caught,
            Some(2) => Verdict::Unavailable,
            _ => Verdict::Broke,
        };
        return Answer::new(verdict, last_line(ended));
    };
    let violation = lines().find_map(|row| {
        let violation = &row["failures"][0]["violation"];
        violation.as_str().map(str::to_owned)
    });
    let verdict = match (status.code(), summary["verdict"].as_str()) {
        (Some(1), Some("violation")) => Verdict::Caught,
        (Some(0), Some("pass")) => Verdict::Missed,
        (Some(2), Some("vacuous")) => Verdict::NothingShown,
        _ => Verdict::Broke,
    };
    Answer {
        states: summary["crash_states"].as_u64(),
        ..Answer::new(verdict, violation.unwrap_or_default())
    }
}

/// Runs test binaries one after the other, up to the first test that fails.
fn run_tests(
    executables: &[PathBuf],
    filter: Option<&str>,
    slot: &Slot<'_>,
    stop: &AtomicBool,
) -> Result<Answer, Trouble> {
    let failed = |line: &str| line.starts_with("test ") && line.ends_with("... FAILED");
    let mut nothing_ran = true;
    for executable in executables {
        let mut program = Program::new("BINARY")
            .env("PROPTEST_RNG_SEED", SEED)
            .env("RUST_BACKTRACE", "0");
        program.words[0] = executable.to_string_lossy().into_owned();
        program.words.extend(filter.map(str::to_owned));
        let ended = program.run(&slot.path, TESTS_LIMIT, stop, failed)?;
        nothing_ran &= !ended.stdout.lines().any(|line| line.starts_with("test "));
        let name = ended.stdout.lines().find(|line| failed(line));
        if let Some(name) = name {
            let name = name.trim_start_matches("test ");
            let name = name.trim_end_matches("... FAILED").trim_end();
            return Ok(Answer::new(Verdict::Caught, name));
        }
        match ended.how {
            How::ByItself(status) if status.success() => {}
            How::ByItself(status) => {
                let detail = format!("{status}: {}", last_line(&ended));
                return Ok(Answer::new(Verdict::Caught, detail));
            }
            _ => return Ok(Answer::new(Verdict::TimedOut, "the tests did not end")),
        }
    }
    Ok(if nothing_ran {
        Answer::new(Verdict::NothingShown, "no test ran")
    } else {
        Answer::new(Verdict::Missed, "")
    })
}

fn last_line(ended: &Ended) -> String {
    let said = if ended.stderr.trim().is_empty() {
        &ended.stdout
    } else {
        &ended.stderr
    };
    said.trim().lines().last().unwrap_or("").to_owned()
}
