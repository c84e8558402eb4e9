//! `power`: by the seam where a store has one, else by the tracer.

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
use crate::store::Tested;
use crate::tally::Tally;

/// On the simulated file system itself.
const SEAM: simulated::Power = simulated::Power;

/// The crash kind.
pub(super) struct Power;

impl Kind for Power {
    fn id(&self) -> CrashKind {
        CrashKind::Power
    }

    fn describe(&self) -> &'static str {
        "power is lost at any operation, in recovery too, by the rules of POSIX or of a file system: on the \
         simulated file system, or under trace for any program; finds missing and misplaced syncs, of \
         directories too, wrong orders, torn writes; cannot find what needs a real disk"
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
        match self.recorder(tested, plan) {
            Some(RecorderKind::Seam) => SEAM.available(tested, case, plan),
            _ => power_traced::available(tested, plan),
        }
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

/// There is one row for each subject.
const ANY: Case = Case {
    crash: CrashKind::Power,
    fs: None,
};
