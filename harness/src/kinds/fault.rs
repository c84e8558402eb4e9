//! `fault`: by the seam where a store has one, else by the tracer.

use std::io;

use serde_json::Value;

use super::contract::{Case, Job, Kind, Played, Replayed, Saved, Shrinking, Worker};
use super::{power_traced, simulated};
use crate::crash_kind::CrashKind;
use crate::plan::Plan;
use crate::process;
use crate::process::Launcher;
use crate::recorder::RecorderKind;
use crate::shrink::Deadline;
use crate::sim::FaultKind;
use crate::store::Tested;
use crate::tally::Tally;

/// On the simulated file system itself.
const SEAM: simulated::Fault = simulated::Fault;

/// There is one row for each subject.
const ANY: Case = Case {
    crash: CrashKind::Fault,
    fs: None,
};

/// The crash kind.
pub(super) struct Fault;

impl Kind for Fault {
    fn id(&self) -> CrashKind {
        CrashKind::Fault
    }

    fn describe(&self) -> &'static str {
        "the disk fails (syncs, writes, creation, renames, space; on the seam reads, too), then power is lost: \
         on the simulated file system, or under trace for any program; finds retried syncs, acks after \
         errors, ignored counts, forgotten rollbacks; --fault asks for one"
    }

    /// The seam where there is one: its runs can be repeated.
    fn recorder(&self, tested: Tested<'_>, plan: &Plan) -> Option<RecorderKind> {
        let by_itself = match SEAM.available(tested, ANY, plan) {
            Ok(()) => RecorderKind::Seam,
            Err(_) => RecorderKind::Trace,
        };
        Some(plan.recorder.unwrap_or(by_itself))
    }

    fn available(&self, tested: Tested<'_>, case: Case, plan: &Plan) -> Result<(), String> {
        if self.recorder(tested, plan) == Some(RecorderKind::Seam) {
            SEAM.available(tested, case, plan)?;
            let simulated = |planned: &crate::PlannedFault| planned.simulated().map(drop);
            return plan.faults.iter().try_for_each(simulated);
        }
        let read = plan.faults.iter();
        if let Some(read) = read
            .into_iter()
            .find(|planned| planned.fault.kind == FaultKind::Read)
        {
            return Err(format!(
                "`--fault {read}`: the tracer does not stop at reads; only a store on the seam can have them fail"
            ));
        }
        power_traced::available(tested, plan)
    }

    fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let traced = process::available_traced(&Launcher::binary(), &std::env::temp_dir());
        let mut found = SEAM.probe();
        found.push((format!("{} {}", self.id(), RecorderKind::Trace), traced));
        found
    }

    /// Under trace.
    fn wants_memory(&self) -> bool {
        true
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
        match self.recorder(job.tested, job.plan) {
            Some(RecorderKind::Seam) => SEAM.worker(job),
            _ => power_traced::worker(&job),
        }
    }

    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
        if power_traced::is_ours(saved) {
            return power_traced::replay(saved);
        }
        SEAM.replay(saved)
    }

    fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
        if power_traced::is_ours(saved) {
            return power_traced::shrink(saved, deadline);
        }
        SEAM.shrink(saved, deadline)
    }

    fn play(&self, script: &Value, job: &Job<'_>, tally: &mut Tally) -> io::Result<Option<Played>> {
        SEAM.play(script, job, tally)
    }
}
