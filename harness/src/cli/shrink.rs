//! `shrink`: the smallest version of a saved failure.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::choose::tested_in;
use crate::finding::Finding;
use crate::hang::OnHang;
use crate::kinds::{self, Saved, Shrinking};
use crate::plan::{Budget, Plan};
use crate::report::Verdict;
use crate::scratch::Scratch;
use crate::store::commands_of;
use crate::subject::Subject;

pub(super) fn shrink(
    subjects: &[&dyn Subject],
    folder: &Path,
    duration: Duration,
    out: PathBuf,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot shrink {}: {why}", folder.display());
    let at = |error: std::io::Error| cannot(&error);
    let finding = Finding::load(folder).map_err(at)?;
    let commands = commands_of(&finding).map_err(at)?;
    let plan = Plan {
        budget: Budget::Duration(duration),
        seed: finding.seed,
        out,
        ..Plan::default()
    };
    let kind = kinds::of(finding.crash);
    let scratch = Scratch::create(&plan.scratch_dir(kind.wants_memory())).map_err(at)?;
    let saved = Saved {
        finding: &finding,
        tested: tested_in(subjects, &finding, commands.as_ref())?,
        plan: &plan,
        scratch: scratch.path(),
        on_hang,
    };
    match kind.shrink(saved, Instant::now() + duration).map_err(at)? {
        Shrinking::Impossible(why) => Err(cannot(&why)),
        Shrinking::Gone(why) => {
            println!("The failure does not show any more: {why}.");
            Ok(Verdict::Pass.exit_status())
        }
        Shrinking::Smallest {
            finding,
            told,
            more,
        } => {
            let saved = finding.save(&plan.out).map_err(at)?;
            println!("{}\n  {}", finding.violation, finding.crash_point);
            println!("{told}; saved in {}", saved.display());
            println!("\n{more}");
            Ok(Verdict::Violation.exit_status())
        }
    }
}
