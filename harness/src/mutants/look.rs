//! How a catcher is run, and for how long.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::answer::{Answer, Trouble, last_line, understand};
use super::catcher::{Bench, Catcher, Kind, TESTS_LIMIT, chosen};
use super::process::{How, Program};
use super::result::Verdict;
use super::tree::Slot;
use crate::scratch::remove_dir;
use crate::stop::Stop;

/// Beside its budget, a torture is given so long to come to its end: it says itself what hangs.
const GRACE: Duration = Duration::from_secs(90);
/// Where a torture saves what it finds.
const FAILURES: &str = "failures";
/// Everything random in a catcher derives from it.
const SEED: &str = "1";

impl Catcher {
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
        let turn = bench.building.lock().expect("nothing panics with it");
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
                    How::ByItself(status) if status.success() => missed(&ended.stdout),
                    How::ByItself(_) => Answer::new(Verdict::Caught, last_line(&ended)),
                    _ => Answer::new(Verdict::TimedOut, "it did not end"),
                }
            }
        };
        let elapsed = started.elapsed();
        remove_dir(&slot.out.join(FAILURES))?;
        if bench.stop.is_set() {
            // It was interrupted, so what it did not see means nothing.
            return Err(Trouble::Stopped);
        }
        Ok(Answer { elapsed, ..answer })
    }

    fn torture_once(
        &self,
        binary: &Path,
        subject: &str,
        budget: Duration,
        slot: &Slot<'_>,
        stop: &Stop,
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

/// Of a command that has seen nothing. If it ran tests and there were none, it did not look.
fn missed(stdout: &str) -> Answer {
    let mut runs = stdout.lines().filter_map(|line| {
        let count = line.strip_prefix("running ")?;
        count.strip_suffix(" tests").or(count.strip_suffix(" test"))
    });
    let mut ran_none = false;
    let ran_some = runs.any(|count| {
        ran_none |= count == "0";
        count != "0"
    });
    if ran_none && !ran_some {
        Answer::new(Verdict::NothingShown, "no test ran")
    } else {
        Answer::new(Verdict::Missed, "")
    }
}

/// Runs test binaries one after the other, up to the first test that fails.
fn run_tests(
    executables: &[PathBuf],
    filter: Option<&str>,
    slot: &Slot<'_>,
    stop: &Stop,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a test had changed, and nothing noticed that the catcher did not look any more.
    #[test]
    fn a_command_that_ran_no_test_has_not_looked() {
        for (stdout, verdict) in [
            (
                "running 0 tests\n\ntest result: ok. 0 passed\n",
                Verdict::NothingShown,
            ),
            ("running 0 tests\nrunning 1 test\n.\n", Verdict::Missed),
            ("running 12 tests\n............\n", Verdict::Missed),
            ("no tests, but a tool\n", Verdict::Missed),
            ("", Verdict::Missed),
        ] {
            assert_eq!(missed(stdout).verdict, verdict, "{stdout}");
        }
    }
}
