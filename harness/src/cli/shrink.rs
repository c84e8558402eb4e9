//! `shrink`: the smallest version of a saved failure.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choose::tested_in;
use super::signal::Signals;
use crate::failures;
use crate::finding::Finding;
use crate::hang::OnHang;
use crate::look_again::{self, Shrunk};
use crate::plan::{Budget, Plan};
use crate::report::{Verdict, exit_status_of};
use crate::shrink_progress::ShrinkProgress;
use crate::store::commands_of;
use crate::subject::Subject;

pub(super) fn shrink(
    subjects: &[&dyn Subject],
    folder: &Path,
    duration: Duration,
    out: Option<PathBuf>,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot shrink {}: {why}", folder.display());
    let at = |error: std::io::Error| cannot(&error);
    let finding = Finding::load(folder).map_err(at)?;
    let commands = commands_of(&finding).map_err(at)?;
    let farewell = |signal| {
        eprintln!("Interrupted: the failure is not smaller than it was.");
        exit_status_of(signal)
    };
    let signals = Signals::heeded(Box::new(farewell))?;
    let plan = Plan {
        budget: Budget::Duration(duration),
        out: out.unwrap_or_else(failures::folder),
        ..Plan::default()
    }
    .stopped_by(&signals.stop);
    let tested = tested_in(subjects, &finding, commands.as_ref())?;
    let progress = ShrinkProgress::on_stderr();
    let shrinking = look_again::shrink(&finding, tested, plan, (duration, &progress), on_hang);
    progress.end();
    let shrinking = match (shrinking, signals.first()) {
        // It was broken off before it was known whether the failure still shows.
        (Err(error), Some(signal)) if error.kind() == ErrorKind::Interrupted => {
            return Ok(farewell(signal));
        }
        (shrinking, _) => shrinking.map_err(at)?,
    };
    match shrinking {
        Shrunk::Impossible(why) => Err(cannot(&why)),
        Shrunk::Gone(why) => {
            println!("The failure does not show any more: {why}.");
            Ok(Verdict::Pass.exit_status())
        }
        Shrunk::Smallest {
            finding,
            folder,
            told,
            more,
        } => {
            println!("{}\n  {}", finding.violation, finding.crash_point);
            println!("{told}; saved in {}", folder.display());
            if signals.first().is_some() {
                println!("Interrupted: there may be a smaller version.");
            }
            println!("\n{more}");
            Ok(Verdict::Violation.exit_status())
        }
    }
}
