//! A saved failure, looked at once more: checked, or made smaller.

use std::io;
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

/// Looks for the smallest version of a failure for a while.
///
/// # Errors
/// If it cannot be read, or the machine fails.
pub(crate) fn shrink(
    finding: &Finding,
    tested: Tested<'_>,
    plan: Plan,
    (duration, progress): (Duration, &ShrinkProgress),
    on_hang: &OnHang,
) -> io::Result<Shrinking> {
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
    let shrinking = kind.shrink(saved, deadline)?;
    Ok(match shrinking {
        Shrinking::Smallest {
            finding,
            told,
            more,
        } => Shrinking::Smallest {
            finding: Box::new(finding.with_given(plan.image.as_deref())),
            told,
            more,
        },
        other => other,
    })
}
