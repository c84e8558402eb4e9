//! A torture as a test runs it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::again::{self, Asked};
use crate::campaign::{self, Pass, Watching};
use crate::crash_kind::CrashKind;
use crate::disk::FileSystemKind;
use crate::failures;
use crate::hang::{self, OnHang};
use crate::loss::Cuts;
use crate::plan::{Budget, Plan};
use crate::planned_fault::PlannedFault;
use crate::process::{Launcher, has_order};
use crate::recorder::RecorderKind;
use crate::regressions::Regressions;
use crate::report::{Ledger, Row, SavedFailure, Silent, Verdict};
use crate::roles;
use crate::sim::Profile;
use crate::store::UnderTest;
use crate::tally::Tally;

/// Puts a store under torture, inside a test.
///
/// It works with `cargo test` and nextest, in parallel tests. Each process that is killed is the
/// same test, started again by its name: what the test does before it comes to [`run`](Self::run)
/// happens in every one of them, so do nothing of weight before, or call
/// [`obey_orders`](crate::obey_orders) first. A test can have one torture only: the
/// processes of a second one would come to the first.
#[must_use = "a torture does nothing until it is run"]
pub struct Torture {
    under_test: UnderTest,
    /// Those that need no privileges, if none is named.
    kinds: Option<Vec<CrashKind>>,
    /// As many rounds as are usual for each kind, if none are named.
    budget: Option<Budget>,
    script: Option<String>,
    plan: Plan,
}

impl Torture {
    /// Every crash kind that needs no privileges, seed 0, one directory at a time: as many rounds of each as take
    /// some seconds together in a debug build of a small store, 40 of `kill` and 2 to 10 of the others. In a gate,
    /// ask for more ([`rounds`](Self::rounds)).
    ///
    /// It takes a [`Subject`](crate::Subject), or a [`BlackBox`](crate::BlackBox).
    pub fn new(under_test: impl Into<UnderTest>) -> Self {
        Self {
            under_test: under_test.into(),
            kinds: None,
            budget: None,
            script: None,
            plan: Plan {
                out: failures::folder(),
                ..Plan::default()
            },
        }
    }

    /// Only these crash kinds. One that this machine cannot run is an error then; without a name it is
    /// left out, and its row in the report says so.
    pub fn crash(mut self, kinds: impl IntoIterator<Item = CrashKind>) -> Self {
        self.kinds = Some(kinds.into_iter().collect());
        self
    }

    /// The number of rounds of each crash kind.
    pub fn rounds(mut self, rounds: u64) -> Self {
        self.budget = Some(Budget::Rounds(rounds));
        self
    }

    /// The time for each crash kind.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.budget = Some(Budget::Duration(duration));
        self
    }

    /// Everything random derives from it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// The number of directories tortured at the same time.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.plan.jobs = jobs.max(1);
        self
    }

    /// Only this one of the subject's engines.
    pub fn engine(mut self, engine: impl Into<String>) -> Self {
        self.plan.engines = vec![engine.into()];
        self
    }

    /// For [`CrashKind::Disk`], only these file systems.
    pub fn file_systems(mut self, kinds: impl IntoIterator<Item = FileSystemKind>) -> Self {
        self.plan.file_systems = kinds.into_iter().collect();
        self
    }

    /// On the simulated file system, only by the rules of these profiles.
    pub fn profiles(mut self, profiles: impl IntoIterator<Item = Profile>) -> Self {
        self.plan.profiles = profiles.into_iter().collect();
        self
    }

    /// Where the stores live while they are tortured. Default: the system's temporary directory, and
    /// memory (`/dev/shm`) for [`CrashKind::Syscall`].
    pub fn scratch(mut self, dir: impl Into<PathBuf>) -> Self {
        self.plan.scratch = Some(dir.into());
        self
    }

    /// Where failures are saved. Default: `plugpull` in cargo's target directory; if there is none that
    /// can be written to, `plugpull-failures-UID` in the system's temporary directory.
    pub fn artifacts(mut self, dir: impl Into<PathBuf>) -> Self {
        self.plan.out = dir.into();
        self
    }

    /// The time for a process that has to do something by itself: a recovery has to end, a writer
    /// under trace has to get on. One that does not hangs, which is a violation. Default: 30 s.
    ///
    /// A writer that is going to be killed needs no limit: hung or not, it is killed.
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.plan.hang_limit = limit;
        self
    }

    /// Where [`CrashKind::Syscall`] cuts writes. Default: between pages of the file, as a kill does it.
    pub fn cuts(mut self, cuts: Cuts) -> Self {
        self.plan.cuts = cuts;
        self
    }

    /// What records the runs of [`CrashKind::Power`], [`CrashKind::Fault`] and [`CrashKind::Rot`]. Default: the
    /// seam, if the store has one.
    pub fn recorder(mut self, recorder: RecorderKind) -> Self {
        self.plan.recorder = Some(recorder);
        self
    }

    /// Errors of the disk for [`CrashKind::Fault`], all of them in each run. Default: drawn from the seed.
    pub fn faults(mut self, faults: impl IntoIterator<Item = PlannedFault>) -> Self {
        self.plan.faults = faults.into_iter().collect();
        self
    }

    /// No crash comes before the first acknowledgement in a fresh directory: what is wrong while a store comes
    /// about hides nothing.
    pub fn after_first_ack(mut self) -> Self {
        self.plan.lifespan.after_ack = true;
        self
    }

    /// Writers live no longer than this; a program, from its first word on. Default: what
    /// [`Subject::life_max`](crate::Subject::life_max) says; 250 ms for a program, 10 s under trace, and more if it
    /// acknowledged nothing in that time.
    pub fn life(mut self, life: Duration) -> Self {
        self.plan.lifespan.life = Some(life);
        self
    }

    /// Writers are ended after this number of announcements at the latest.
    pub fn lines(mut self, lines: u64) -> Self {
        self.plan.lifespan.lines = Some(lines.max(1));
        self
    }

    /// Under trace, writers are ended after this number of calls on the store's directory at the latest, those of a
    /// program counted from its first word on. Default: 60 to 200, for a program 24 to 72, and more if it
    /// acknowledged nothing in them.
    pub fn calls(mut self, calls: u64) -> Self {
        self.plan.lifespan.calls = Some(calls.max(1));
        self
    }

    /// Each fresh directory begins with a copy of this one, instead of what
    /// [`Subject::prepare`](crate::Subject::prepare) leaves: a store that opens, and holds no entry. All of it is
    /// durable.
    pub fn image(mut self, dir: impl Into<PathBuf>) -> Self {
        self.plan.image = Some(dir.into());
        self
    }

    /// Goes on after failures, to the end, and keeps one of each
    /// [class](crate::oracle::Violation::class); else a row stops after three.
    pub fn keep_going(mut self) -> Self {
        self.plan.keep_going = true;
        self
    }

    /// Failures that are known already, by their [class](crate::oracle::Violation::class), or by a pattern such as
    /// `recovery failed: *`: they are counted and passed over, and what lies behind them is looked for.
    ///
    /// # Panics
    /// If one is no pattern.
    pub fn known<'c>(mut self, classes: impl IntoIterator<Item = &'c str>) -> Self {
        let parsed = classes.into_iter().map(str::parse);
        let parsed = parsed.map(|class| class.unwrap_or_else(|why: String| panic!("{why}")));
        self.plan.known.0.extend(parsed);
        self
    }

    /// Plays this script, as printed when a failure has been shrunk, instead of anything random: a
    /// traced run of each generation, and all crash states of the last; or a timeline on the
    /// simulated file system, and every moment of its last life.
    pub fn script(mut self, script: impl Into<String>) -> Self {
        self.script = Some(script.into());
        self.kinds = Some(Vec::new());
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// If a promise was broken, if nothing was shown, or if the machine cannot do it. The error's
    /// Display says which, and what to look at.
    pub fn run(self) -> Result<Report, Failure> {
        let subject = self.under_test.subject();
        roles::obey_orders(subject.as_slice());
        let environment = |message: String| Failure::Environment(message);
        if has_order() {
            let reason = "a process that was started for another torture came to this one first: a \
                          test can have only one";
            return Err(environment(reason.to_owned()));
        }
        let plan = Plan {
            launcher: Launcher::of_this_test().map_err(environment)?,
            budget: self.budget.unwrap_or(Budget::Rounds(1)),
            is_named: self.kinds.is_some(),
            ..self.plan
        };
        let (under_test, kinds) = (self.under_test.clone(), self.kinds);
        // What was named must be possible; what was not is left out where it is impossible.
        campaign::require(under_test.tested(), kinds.as_deref().unwrap_or(&[]), &plan)
            .map_err(environment)?;
        let is_usual = self.budget.is_none();
        let asked = Asked::by_environment();
        let is_free = self.script.is_none() && asked.is_none();
        let regressions = plan.launcher.test().filter(|_| is_free);
        let regressions = regressions.map(|test| Regressions::of(test, &plan.out));
        let earlier = regressions.as_ref().map(Regressions::load).transpose();
        let earlier = earlier.map_err(|error| environment(error.to_string()))?;
        let stop = plan.stop.clone();
        let ledger = Arc::new(Ledger::new(Box::new(Silent)));
        let kept = Arc::clone(&ledger);
        let work = move |on_hang: &OnHang| {
            let watching = Watching {
                ledger: &kept,
                on_hang,
            };
            let tested = [under_test.tested()];
            if let Some(asked) = &asked {
                return asked.carry_out(tested[0], &plan, watching);
            }
            if let Some(script) = &self.script {
                return campaign::play(tested[0], script, &plan, watching);
            }
            let earlier = earlier.unwrap_or_default();
            if again::recurs(&earlier, tested[0], &plan, watching) {
                return Ok(());
            }
            let kinds = kinds.as_deref().unwrap_or(&CrashKind::UNPRIVILEGED);
            let pass = Pass {
                subjects: &tested,
                kinds,
                is_usual,
            };
            campaign::run(&[pass], &plan, watching);
            Ok(())
        };
        let played = hang::apart(work).map_err(|hang| {
            // The threads of other stores would go on to the end of their budget.
            stop.set();
            ledger.hangs(&hang);
            Failure::Violation(ledger.so_far())
        })?;
        played.map_err(|error| environment(error.to_string()))?;
        let rows = ledger.so_far();
        match Verdict::of(&rows) {
            Verdict::Pass => Ok(Report { rows }),
            Verdict::Environment => Err(environment(errors_of(&rows))),
            Verdict::Violation => {
                if let Some(regressions) = regressions {
                    let kept = regressions.add(&rows);
                    kept.map_err(|error| environment(error.to_string()))?;
                }
                Err(Failure::Violation(rows))
            }
            // A script is played for what it does, not for how much of it there is; so is a failure.
            Verdict::Vacuous if !is_free => Ok(Report { rows }),
            Verdict::Vacuous => Err(Failure::Vacuous(rows)),
        }
    }
}

/// What could not be done, a line each.
fn errors_of(rows: &[Row]) -> String {
    let error = |row: &Row| {
        let error = row.error.as_deref()?;
        Some(format!("\n  {}, {}: {error}", row.subject, row.case()))
    };
    rows.iter().filter_map(error).collect()
}

/// What a torture without a violation has done.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each crash kind.
    pub rows: Vec<Row>,
}

/// Why a torture did not pass. Its Display is what a failing test shows.
#[derive(Clone)]
pub enum Failure {
    /// Promises were broken.
    Violation(Vec<Row>),
    /// Nothing was acknowledged, or nothing was hit in the middle of work: no test at all.
    Vacuous(Vec<Row>),
    /// The machine cannot do it.
    Environment(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(message) => write!(f, "the torture cannot run: {message}"),
            Self::Vacuous(rows) => {
                writeln!(
                    f,
                    "the torture showed nothing (writers that live too short get more with `life`, `lines` and \
                     `calls`):"
                )?;
                rows.iter().try_for_each(|row| {
                    let Tally {
                        rounds,
                        attempts,
                        acked,
                        killed_mid_work,
                        ..
                    } = &row.tally;
                    writeln!(
                        f,
                        "  {}, {}: {rounds} rounds, {attempts} attempts, {acked} acknowledged, \
                         {killed_mid_work} crashes in the middle of work",
                        row.subject,
                        row.case(),
                    )
                })
            }
            Self::Violation(rows) => {
                writeln!(f, "promises were broken:")?;
                rows.iter()
                    .filter(|row| row.tally.violations > 0)
                    .try_for_each(|row| {
                        writeln!(
                            f,
                            "{}, {}, seed {}: {} violations in {} rounds",
                            row.subject,
                            row.case(),
                            row.seed,
                            row.tally.violations,
                            row.tally.rounds,
                        )?;
                        row.failures.iter().try_for_each(|failure| {
                            let SavedFailure {
                                folder, violation, ..
                            } = failure;
                            writeln!(f, "  {violation}")?;
                            if folder.as_os_str().is_empty() {
                                return Ok(());
                            }
                            writeln!(f, "    told in {}/README.md", folder.display())?;
                            f.write_str(&again::commands(folder))
                        })
                    })
            }
        }
    }
}

impl fmt::Debug for Failure {
    /// As Display: this is what `unwrap` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_on_which_file_system() {
        let ext4 = Some(FileSystemKind::Ext4);
        let mut row = Row::nothing("black-box", CrashKind::Disk, ext4, 1);
        row.tally.rounds = 3;
        row.tally.violations = 2;
        let vacuous = Failure::Vacuous(vec![row.clone()]).to_string();
        assert!(
            vacuous.contains("black-box, disk ext4: 3 rounds"),
            "{vacuous}"
        );
        let violation = Failure::Violation(vec![row]).to_string();
        let told = "black-box, disk ext4, seed 1: 2 violations in 3 rounds";
        assert!(violation.contains(told), "{violation}");
    }
}
