//! `fault`: by the seam where a store has one, else by the tracer.

use super::chosen::SeamOrRun;
use super::simulated;
use crate::plan::Plan;
use crate::recorder::RecorderKind;
use crate::sim::FaultKind;

/// The crash kind.
pub(super) static FAULT: SeamOrRun<simulated::Fault> = SeamOrRun {
    seam: simulated::Fault,
    description: "the disk fails (syncs, writes, creation, renames, space; on the seam reads, too), then power is lost: \
         on the simulated file system, or under trace for any program; finds retried syncs, acks after \
         errors, ignored counts, forgotten rollbacks; --fault asks for one",
    allows: meets,
};

/// Whether runs with a recorder can meet the faults that are asked for.
fn meets(recorder: RecorderKind, plan: &Plan) -> Result<(), String> {
    let mut faults = plan.faults.iter();
    match recorder {
        RecorderKind::Seam => faults.try_for_each(|planned| planned.simulated().map(drop)),
        RecorderKind::Mount => Ok(()),
        RecorderKind::Trace => match faults.find(|planned| planned.fault.kind == FaultKind::Read) {
            Some(read) => Err(format!(
                "`--fault {read}`: the tracer does not stop at reads; use --recorder mount"
            )),
            None => Ok(()),
        },
    }
}
