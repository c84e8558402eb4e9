//! Crash kinds with a choice of recorders: the seam where a store has one, else a run of the store as it is.

use std::io;

use serde_json::Value;

use super::contract::{Case, Job, Kind, Played, Replayed, Saved, Shrinking, Worker};
use super::power_run;
use crate::crash_kind::CrashKind;
use crate::mount;
use crate::plan::Plan;
use crate::process;
use crate::process::Launcher;
use crate::recorder::RecorderKind;
use crate::shrink::Deadline;
use crate::store::Tested;
use crate::tally::Tally;

/// A crash kind that two recorders do.
pub(super) struct SeamOrRun<S> {
    /// On the simulated file system itself.
    pub(super) seam: S,
    pub(super) description: &'static str,
    /// Whether what a plan asks for can be done with a recorder; if not, why.
    pub(super) allows: fn(RecorderKind, &Plan) -> Result<(), String>,
}

impl<S: Kind> SeamOrRun<S> {
    /// The seam where there is one: its runs can be repeated.
    fn chosen(&self, tested: Tested<'_>, plan: &Plan) -> RecorderKind {
        let any = Case {
            crash: self.id(),
            fs: None,
        };
        let by_itself = || match self.seam.available(tested, any, plan) {
            Ok(()) => RecorderKind::Seam,
            Err(_) => RecorderKind::Trace,
        };
        plan.recorder.unwrap_or_else(by_itself)
    }
}

impl<S: Kind> Kind for SeamOrRun<S> {
    fn id(&self) -> CrashKind {
        self.seam.id()
    }

    fn describe(&self) -> &'static str {
        self.description
    }

    fn recorder(&self, tested: Tested<'_>, plan: &Plan) -> Option<RecorderKind> {
        Some(self.chosen(tested, plan))
    }

    fn has_lone_rounds(&self, tested: Tested<'_>, plan: &Plan) -> bool {
        self.chosen(tested, plan) == RecorderKind::Seam
    }

    fn available(&self, tested: Tested<'_>, case: Case, plan: &Plan) -> Result<(), String> {
        let recorder = self.chosen(tested, plan);
        match recorder {
            RecorderKind::Seam => {
                self.seam.available(tested, case, plan)?;
                (self.allows)(recorder, plan)
            }
            RecorderKind::Trace | RecorderKind::Mount => {
                (self.allows)(recorder, plan)?;
                power_run::available(tested, plan, recorder)
            }
        }
    }

    fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let traced = process::available_traced(&Launcher::binary(), &std::env::temp_dir());
        let mut found = self.seam.probe();
        let mounted = traced
            .clone()
            .and_then(|()| mount::available(&std::env::temp_dir()));
        found.push((format!("{} {}", self.id(), RecorderKind::Trace), traced));
        found.push((format!("{} {}", self.id(), RecorderKind::Mount), mounted));
        found
    }

    /// Of a run of the store as it is.
    fn wants_memory(&self) -> bool {
        true
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
        match self.chosen(job.tested, job.plan) {
            RecorderKind::Seam => self.seam.worker(job),
            RecorderKind::Trace | RecorderKind::Mount => power_run::worker(&job),
        }
    }

    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
        if power_run::is_ours(saved) {
            return power_run::replay(saved);
        }
        self.seam.replay(saved)
    }

    fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
        if power_run::is_ours(saved) {
            return power_run::shrink(saved, deadline);
        }
        self.seam.shrink(saved, deadline)
    }

    fn play(&self, script: &Value, job: &Job<'_>, tally: &mut Tally) -> io::Result<Option<Played>> {
        self.seam.play(script, job, tally)
    }
}
