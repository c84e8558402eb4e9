//! Saved failures, looked at again by the test that found them: one that is named by the environment, and
//! those of earlier runs.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::campaign::{self, Pass, Watching};
use crate::finding::Finding;
use crate::hang::OnHang;
use crate::look_again::{self, Shrunk};
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::regressions::Regression;
use crate::report::{Ledger, Row, SavedFailure, Silent};
use crate::shrink_progress::ShrinkProgress;
use crate::store::Tested;

const REPLAY: &str = "PLUGPULL_REPLAY";
const SHRINK: &str = "PLUGPULL_SHRINK";
/// Shrinking in a test ends after this time, with the smallest found by then.
const SHRINKING: Duration = Duration::from_secs(60);

/// What the environment asks a test to do instead of its torture.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// Check the failure in this folder again.
    Replay(PathBuf),
    /// Find the smallest version of the failure in this folder.
    Shrink(PathBuf),
}

impl Asked {
    pub(crate) fn by_environment() -> Option<Self> {
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty());
        let replay = folder(REPLAY).map(|folder| Self::Replay(folder.into()));
        replay.or_else(|| folder(SHRINK).map(|folder| Self::Shrink(folder.into())))
    }

    /// Does it, and puts a row in the ledger that says what came of it.
    ///
    /// # Errors
    /// If the failure cannot be read, is of another subject, cannot be shrunk, or the machine fails.
    pub(crate) fn carry_out(
        &self,
        tested: Tested<'_>,
        plan: &Plan,
        watching: Watching<'_>,
    ) -> io::Result<()> {
        let (Self::Replay(folder) | Self::Shrink(folder)) = self;
        let at = |error: io::Error| {
            let reason = format!("{}: {error}", folder.display());
            io::Error::new(error.kind(), reason)
        };
        let finding = Finding::load(folder).map_err(at)?;
        if finding.subject != tested.name() {
            let (found, here) = (&finding.subject, tested.name());
            let reason =
                format!("a failure of {found}, and this test tortures {here}: name one test");
            return Err(at(io::Error::other(reason)));
        }
        let row = match self {
            Self::Replay(_) => replayed(&finding, folder, tested, plan, watching.on_hang),
            Self::Shrink(_) => shrunk(&finding, tested, plan, watching.on_hang),
        };
        watching.ledger.push(row.map_err(at)?);
        Ok(())
    }
}

/// A row that says what a failure shows now.
fn row(finding: &Finding, folder: &Path, violation: Option<Violation>) -> Row {
    let mut row = Row::nothing(&finding.subject, finding.crash, None, finding.seed);
    row.tally.crash_states = 1;
    if let Some(violation) = violation {
        row.tally.violated(&violation);
        row.failures.push(SavedFailure {
            folder: folder.to_owned(),
            violation: violation.to_string(),
            class: violation.class(),
            after_states: 0,
            after_s: 0.0,
        });
    }
    row
}

fn replayed(
    finding: &Finding,
    folder: &Path,
    tested: Tested<'_>,
    plan: &Plan,
    on_hang: &OnHang,
) -> io::Result<Row> {
    let replayed = look_again::replay(finding, tested, plan.clone(), on_hang)?;
    Ok(row(finding, folder, replayed.verdict.err()))
}

fn shrunk(finding: &Finding, tested: Tested<'_>, plan: &Plan, on_hang: &OnHang) -> io::Result<Row> {
    let effort = (SHRINKING, &ShrinkProgress::silent());
    match look_again::shrink(finding, tested, plan.clone(), effort, on_hang)? {
        Shrunk::Impossible(why) => Err(io::Error::other(format!("cannot be shrunk: {why}"))),
        Shrunk::Gone(why) => {
            println!("The failure does not show any more: {why}.");
            Ok(row(finding, Path::new(""), None))
        }
        Shrunk::Smallest {
            finding,
            folder,
            told,
            more,
        } => {
            println!("{told}; saved in {}\n\n{more}", folder.display());
            Ok(row(&finding, &folder, Some(finding.violation.clone())))
        }
    }
}

/// Looks at failures of earlier runs, in order. The rows of the first one that shows go into the ledger. One that
/// cannot be looked at, as it takes root or an engine that is gone, says so and keeps nothing from being done.
pub(crate) fn recurs(
    regressions: &[Regression],
    tested: Tested<'_>,
    plan: &Plan,
    watching: Watching<'_>,
) -> bool {
    let is_known = |regression: &&Regression| plan.known.is_class(&regression.class);
    for regression in regressions
        .iter()
        .filter(|regression| !is_known(regression))
    {
        let rows = match rows_of(regression, tested, plan, watching.on_hang) {
            Ok(rows) => rows,
            Err(error) => {
                let folder = regression.folder.display();
                eprintln!("an earlier failure cannot be looked at again: {folder}: {error}");
                continue;
            }
        };
        let is_back = rows.iter().any(|row| row.tally.violations > 0);
        if is_back {
            for row in rows {
                watching.ledger.push(row);
            }
            return true;
        }
    }
    false
}

fn rows_of(
    regression: &Regression,
    tested: Tested<'_>,
    plan: &Plan,
    on_hang: &OnHang,
) -> io::Result<Vec<Row>> {
    // One that cannot be read any more is as good as gone.
    let finding = Finding::load(&regression.folder).ok();
    if let Some(finding) = finding.filter(|finding| finding.subject == tested.name()) {
        let row = replayed(&finding, &regression.folder, tested, plan, on_hang)?;
        return Ok(vec![row]);
    }
    let Some(round) = regression.round else {
        return Ok(Vec::new());
    };
    let plan = Plan {
        seed: regression.seed,
        round: Some(round),
        ..plan.clone()
    };
    let kinds = [regression.crash];
    if campaign::require_lone_rounds(tested, &kinds, &plan).is_err() {
        return Ok(Vec::new());
    }
    let ledger = Arc::new(Ledger::new(Box::new(Silent)));
    let watching = Watching {
        ledger: &ledger,
        on_hang,
    };
    let pass = Pass {
        subjects: &[tested],
        kinds: &kinds,
        is_usual: false,
    };
    campaign::run(&[pass], &plan, watching);
    Ok(ledger.so_far())
}

/// The commands that look at a failure again in this test, a line each; nothing outside of a test.
pub(crate) fn commands(folder: &Path) -> String {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main");
    let Some((test, package)) = test.zip(env::var("CARGO_PKG_NAME").ok()) else {
        return String::new();
    };
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut lines = String::new();
    for (told, variable) in [("check it again", REPLAY), ("make it smaller", SHRINK)] {
        let folder = folder.display();
        writeln!(
            lines,
            "    {told}: {variable}='{folder}' cargo test -p {package} {test} -- --exact --nocapture"
        )
        .expect("a string takes everything");
    }
    lines
}
