//! `syscall`: one run under trace, stopped at every system call that touches the store's directory;
//! a copy of the directory there is what a SIGKILL there leaves.
//!
//! One run yields the crash states before and after *every* call, without running the writer again.
//! Recovery is a run like any other: it is traced, and each of its states recovered.
//!
//! A sample of real kills keeps this honest: each run ends with one, and the directory it leaves
//! must equal the copy.

mod generation;
mod keep;
mod script;
mod shrink;
mod states;
mod story;
mod worker;

use std::io;

use serde_json::Value;

use self::script::Script;
use self::worker::Tracing;
use super::contract::{Case, Job, Kind, Played, Replayed, Saved, Shrinking, Worker};
use super::examine::replay_image;
use super::sought::Sought;
use crate::crash_kind::CrashKind;
use crate::known::Known;
use crate::plan::Plan;
use crate::process;
use crate::process::Launcher;
use crate::report::Coverage;
use crate::shrink::Deadline;
use crate::store::Tested;
use crate::tally::Tally;
use crate::workload::stream;

pub use self::script::Generation;

/// The crash kind.
pub(super) struct Syscall;

impl Kind for Syscall {
    fn id(&self) -> CrashKind {
        CrashKind::Syscall
    }

    fn describe(&self) -> &'static str {
        "one run traced: the crash states before, after and inside every system call on the \
         directory, in recovery too; finds the same as kill, at every boundary, and has the same \
         blind spots"
    }

    fn available(&self, tested: Tested<'_>, _: Case, plan: &Plan) -> Result<(), String> {
        tested.has_what_it_needs()?;
        process::available_traced(&plan.launcher, &plan.scratch_dir(true))
    }

    fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let found = process::available_traced(&Launcher::binary(), &std::env::temp_dir());
        vec![(self.id().to_string(), found)]
    }

    fn wants_memory(&self) -> bool {
        true
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
        let rng = stream(job.plan.seed, job.row << 32 | job.lane);
        let name = job.name();
        let sought = job.sought();
        let store = job.tested.store(job.plan);
        Box::new(Tracing::new(
            store,
            job.plan,
            job.scratch,
            &name,
            sought,
            rng,
        ))
    }

    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
        replay_image(saved)
    }

    fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
        shrink::shrink(saved, deadline)
    }

    /// A traced run of each generation, and all crash states of the last.
    fn play(&self, script: &Value, job: &Job<'_>, tally: &mut Tally) -> io::Result<Option<Played>> {
        let Ok(script) = serde_json::from_value::<Script>(script.clone()) else {
            return Ok(None);
        };
        let mut findings = Vec::new();
        for engine in job.plan.engines_of(job.tested.engines()) {
            let rng = stream(job.plan.seed, 0);
            let store = job.tested.store(&job.plan.with_engine(engine));
            let mut tracing = Tracing::new(
                store,
                job.plan,
                job.scratch,
                "script",
                Sought::First(Known::default()),
                rng,
            );
            findings.extend(tracing.play(&script, tally)?);
        }
        Ok(Some(Played {
            findings,
            coverage: Coverage::Exhaustive,
            crash: self.id(),
        }))
    }
}
