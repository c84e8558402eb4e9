//! `replay`: a saved failure, checked again.

use std::path::Path;

use super::choose::choose;
use crate::blackbox::{self, DiskStore};
use crate::crash::{disk, kill, simulated};
use crate::finding::Finding;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::report::Verdict;
use crate::scratch::Scratch;
use crate::subject::Subject;

pub(super) fn replay(subjects: &[&dyn Subject], folder: &std::path::Path) -> Result<u8, String> {
    let at = |error| format!("cannot replay {}: {error}", folder.display());
    let finding = Finding::load(folder).map_err(at)?;
    let scratch = Scratch::create(&std::env::temp_dir()).map_err(at)?;
    println!(
        "{} ({}), when it was found:\n  {}",
        finding.subject, finding.engine, finding.violation
    );
    let on_disk = replay_on_disk(subjects, &finding, scratch.path())?;
    let checked = if let Some(checked) = on_disk {
        Ok(checked)
    } else if let Some(record) = &finding.black_box {
        blackbox::replay(record, &finding, scratch.path())
    } else {
        let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
        match &finding.timeline {
            Some(timeline) => simulated::check_again(subject, timeline, scratch.path()),
            None => kill::check_again(subject, &finding, scratch.path()),
        }
    };
    match checked.map_err(at)? {
        Ok(()) => {
            println!("Now: no promise is broken. This image recovers correctly.");
            Ok(Verdict::Pass.exit_status())
        }
        Err(violation) => {
            println!("Now:\n  {violation}");
            Ok(Verdict::Violation.exit_status())
        }
    }
}

/// What is under test in a failure on a real disk.
pub(super) fn store_of<'a>(
    subjects: &[&'a dyn Subject],
    finding: &'a Finding,
    plan: &Plan,
    scratch: &Path,
) -> Result<Box<dyn disk::Store + 'a>, String> {
    let at = |error| format!("the failure cannot be read: {error}");
    if let Some(record) = &finding.black_box {
        let (launcher, limit) = (plan.launcher.clone(), plan.hang_limit);
        let store = DiskStore::new(&record.store, launcher, limit, finding.seed);
        return Ok(Box::new(store.of(record, finding).map_err(at)?));
    }
    let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
    let store = disk::SubjectStore::new(subject, plan, scratch);
    Ok(Box::new(store.of(finding).map_err(at)?))
}

/// Mounts the image of a failure on a real disk again. `None` if it is none, or cannot be mounted here:
/// then its saved directory is checked.
fn replay_on_disk(
    subjects: &[&dyn Subject],
    finding: &Finding,
    scratch: &Path,
) -> Result<Option<Result<(), Violation>>, String> {
    let Some(crash) = &finding.disk else {
        return Ok(None);
    };
    let plan = Plan {
        seed: finding.seed,
        ..Plan::default()
    };
    let mut store = store_of(subjects, finding, &plan, scratch)?;
    let replayed = disk::replay(&mut *store, crash, scratch)
        .map_err(|error| format!("cannot mount the crash image again: {error}"))?;
    match replayed {
        Ok(checked) => {
            println!(
                "The crash image was mounted again, as {}.",
                crash.file_system.kind
            );
            Ok(Some(checked))
        }
        Err(why) => {
            println!(
                "The crash image cannot be mounted here ({why}): its saved directory is checked."
            );
            Ok(None)
        }
    }
}
