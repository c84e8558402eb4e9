//! `shrink`: the smallest version of a saved failure.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::choose::choose;
use super::replay::store_of;
use crate::crash::disk;
use crate::finding::Finding;
use crate::plan::{Budget, Plan};
use crate::report::Verdict;
use crate::scratch::Scratch;
use crate::shrink::{self, Shrunk};
use crate::subject::Subject;

pub(super) fn shrink(
    subjects: &[&dyn Subject],
    folder: &std::path::Path,
    duration: Duration,
    out: PathBuf,
) -> Result<u8, String> {
    let at = |error| format!("cannot shrink {}: {error}", folder.display());
    let finding = Finding::load(folder).map_err(at)?;
    if finding.disk.is_some() {
        return shrink_on_disk(subjects, &finding, duration, &out);
    }
    if finding.black_box.is_some() {
        return Err(format!(
            "cannot shrink {}: only the program itself knows what it was doing; `replay` checks \
             its crash image again",
            folder.display()
        ));
    }
    let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
    if finding.script.is_empty() && finding.timeline.is_none() {
        return Err(format!(
            "cannot shrink {}: a failure of {} has no script to play again; find one with `run {} \
             --crash syscall`, or `--crash power`",
            folder.display(),
            finding.crash,
            finding.subject,
        ));
    }
    let plan = Plan {
        budget: Budget::Duration(duration),
        out,
        seed: finding.seed,
        ..Plan::default()
    };
    let scratch = Scratch::create(&plan.scratch_dir(true)).map_err(at)?;
    let shrunk = shrink::shrink(subject, &finding, &plan, scratch.path(), duration).map_err(at)?;
    let Some(Shrunk {
        finding,
        candidates,
        operations,
        lives,
    }) = shrunk
    else {
        println!("The failure does not show any more: its script breaks no promise.");
        return Ok(Verdict::Pass.exit_status());
    };
    let saved = finding.save(&plan.out).map_err(at)?;
    println!("{}", finding.violation);
    println!("  {}", finding.crash_point);
    println!(
        "{operations} operations in {lives} lives, after {candidates} scripts; saved in {}",
        saved.display(),
    );
    println!("\nAs a test:\n\n{}", shrink::test_of(subject, &finding));
    Ok(Verdict::Violation.exit_status())
}

fn shrink_on_disk(
    subjects: &[&dyn Subject],
    finding: &Finding,
    duration: Duration,
    out: &Path,
) -> Result<u8, String> {
    let crash = finding.disk.as_ref().expect("the caller has looked");
    let at = |error| format!("cannot shrink it: {error}");
    let scratch = Scratch::create(&std::env::temp_dir()).map_err(at)?;
    let plan = Plan {
        seed: finding.seed,
        ..Plan::default()
    };
    let mut store = store_of(subjects, finding, &plan, scratch.path())?;
    let deadline = Instant::now() + duration;
    let shrunk = disk::shrink(&mut *store, crash, scratch.path(), deadline).map_err(at)?;
    let Some(disk::Shrunk {
        finding,
        candidates,
        lost,
    }) = shrunk
    else {
        println!("The failure does not show any more: its crash image breaks no promise.");
        return Ok(Verdict::Pass.exit_status());
    };
    let saved = finding.save(out).map_err(at)?;
    println!("{}\n  {}", finding.violation, finding.crash_point);
    println!(
        "{lost} lost writes do it, after {candidates} images; saved in {}",
        saved.display()
    );
    println!("\n{}", finding.tale.as_deref().unwrap_or_default());
    Ok(Verdict::Violation.exit_status())
}
