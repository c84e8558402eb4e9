//! A saved failure, looked at once more: checked, or made smaller.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::finding::Finding;
use crate::hang::OnHang;
use crate::kinds::{self, Replayed, Saved, Shrinking};
use crate::plan::Plan;
use crate::scratch::Scratch;
use crate::shrink::Deadline;
use crate::shrink_progress::ShrinkProgress;
use crate::store::Tested;

/// Checks a failure again.
///
/// # Errors
/// If it cannot be read, or the machine fails.
pub(crate) fn replay(
    finding: &Finding,
    tested: Tested<'_>,
    plan: Plan,
    on_hang: &OnHang,
) -> io::Result<Replayed> {
    let plan = plan.of_finding(finding);
    let scratch = Scratch::create(&plan.scratch_dir(false))?;
    kinds::of(finding.crash).replay(Saved {
        finding,
        tested,
        plan: &plan,
        scratch: scratch.path(),
        on_hang,
    })
}

/// What shrinking came to.
pub(crate) enum Shrunk {
    /// A failure of this kind cannot be shrunk, and why.
    Impossible(String),
    /// It does not fail any more, and what says so.
    Gone(&'static str),
    /// The smallest version, saved.
    Smallest {
        finding: Box<Finding>,
        folder: PathBuf,
        /// How small it is, and what that took.
        told: String,
        /// More to print: a test that plays it, or what happened.
        more: String,
    },
}

/// Looks for the smallest version of a failure for a while, and saves it.
///
/// # Errors
/// If it cannot be read or saved, or the machine fails.
pub(crate) fn shrink(
    finding: &Finding,
    tested: Tested<'_>,
    plan: Plan,
    (duration, progress): (Duration, &ShrinkProgress),
    on_hang: &OnHang,
) -> io::Result<Shrunk> {
    let plan = plan.of_finding(finding);
    let kind = kinds::of(finding.crash);
    let scratch = Scratch::create(&plan.scratch_dir(kind.wants_memory()))?;
    let deadline = Deadline {
        at: Instant::now() + duration,
        stop: &plan.stop,
        progress,
    };
    let saved = Saved {
        finding,
        tested,
        plan: &plan,
        scratch: scratch.path(),
        on_hang,
    };
    Ok(match kind.shrink(saved, deadline)? {
        Shrinking::Impossible(why) => Shrunk::Impossible(why),
        Shrinking::Gone(why) => Shrunk::Gone(why),
        Shrinking::Smallest {
            finding,
            told,
            more,
        } => {
            // Its image is in the scratch directory, which ends here.
            let finding = finding.with_given(plan.image.as_deref());
            let folder = finding.save(&plan.out)?;
            Shrunk::Smallest {
                finding: Box::new(finding),
                folder,
                told,
                more,
            }
        }
    })
}
