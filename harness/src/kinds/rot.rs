//! `rot`: by the seam where a store has one, else by the tracer.

use super::chosen::SeamOrRun;
use super::simulated;
use crate::plan::Plan;
use crate::recorder::RecorderKind;

/// The crash kind.
pub(super) static ROT: SeamOrRun<simulated::Rot> = SeamOrRun {
    seam: simulated::Rot,
    description: "flipped bits, zeroed, swapped, stale and misplaced sectors in what survived: on the simulated file \
         system, or under trace for any program; finds damage accepted in silence, and crashes on damaged \
         bytes; cannot blame the loss of what nothing on disk vouches for",
    allows: is_asked_for,
};

/// Many stores promise nothing of damaged bytes. A seam is for those that do.
fn is_asked_for(recorder: RecorderKind, plan: &Plan) -> Result<(), String> {
    match recorder {
        RecorderKind::Trace | RecorderKind::Mount if !plan.is_named => Err(
            "without Subject::simulated it is done only where it is asked for by name (--crash rot): a store \
             without checksums promises nothing of damaged bytes"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}
