//! What every crash kind can do.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::sought::Sought;
use crate::crash_kind::CrashKind;
use crate::disk::FileSystemKind;
use crate::finding::{Finding, Found};
use crate::hang::OnHang;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::recorder::RecorderKind;
use crate::report::Coverage;
use crate::shrink::Deadline;
use crate::store::Tested;
use crate::tally::Tally;

/// A crash kind, and the real file system if it needs one: a row for each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) crash: CrashKind,
    pub(crate) fs: Option<FileSystemKind>,
}

/// What one thread of a row has to go by.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) tested: Tested<'a>,
    pub(crate) case: Case,
    pub(crate) plan: &'a Plan,
    pub(crate) scratch: &'a Path,
    /// The numbers by which its randomness and its directories are told from those of others. A row's has
    /// 32 bits.
    pub(crate) row: u64,
    pub(crate) lane: u64,
    /// Receives a store that hangs in this process.
    pub(crate) on_hang: &'a OnHang,
}

impl Job<'_> {
    /// Tells this job's files from those of others below `scratch`.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.row, self.lane)
    }

    /// What the row looks for.
    pub(crate) fn sought(&self) -> Sought {
        let goes_on = self.plan.keep_going || self.tested.exhibit().is_some();
        Sought::by(goes_on, &self.plan.known)
    }
}

/// Does the rounds of one thread.
pub(crate) trait Worker {
    /// One round: write, crash, recover, check. Counts what it did in `tally`. `number` is the round's
    /// in its row: what is deterministic depends on it and the seed alone. Where a row goes on after
    /// failures, a round may find several, one of each class.
    ///
    /// # Errors
    /// If the machine fails, not the store.
    fn round(&mut self, number: u64, tally: &mut Tally) -> io::Result<Vec<Found>>;
}

/// A saved failure, and what it takes to look at it again.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    pub(crate) finding: &'a Finding,
    pub(crate) tested: Tested<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) scratch: &'a Path,
    /// Receives a store that hangs in this process.
    pub(crate) on_hang: &'a OnHang,
}

/// Whether a store keeps its promises; if not, the first that it breaks.
pub(crate) type Verdict = Result<(), Violation>;

/// What came of looking at a failure again.
pub(crate) struct Replayed {
    pub(crate) verdict: Verdict,
    /// How it was looked at, where there is a choice.
    pub(crate) note: Option<String>,
}

/// Why a failure of commands cannot be shrunk, except on a device.
pub(crate) const NO_SCRIPT_OF_A_COMMAND: &str =
    "only the program itself knows what it was doing; `replay` checks its crash image again";

/// What shrinking came to.
pub(crate) enum Shrinking {
    /// A failure of this kind cannot be shrunk, and why.
    Impossible(String),
    /// It does not fail any more, and what says so.
    Gone(&'static str),
    Smallest {
        finding: Box<Finding>,
        /// How small it is, and what that took.
        told: String,
        /// More to print: a test that plays it, or what happened.
        more: String,
    },
}

/// What playing a script came to.
pub(crate) struct Played {
    pub(crate) findings: Vec<Finding>,
    pub(crate) coverage: Coverage,
    pub(crate) crash: CrashKind,
}

/// A crash kind.
pub(crate) trait Kind: Sync {
    /// Its name.
    fn id(&self) -> CrashKind;

    /// What it does, finds, and cannot find.
    fn describe(&self) -> &'static str;

    /// What records the runs of what is tested, if there is a choice.
    fn recorder(&self, _: Tested<'_>, _: &Plan) -> Option<RecorderKind> {
        None
    }

    /// Whether a round needs none of those before it, so that it can be done alone.
    fn has_lone_rounds(&self, _: Tested<'_>, _: &Plan) -> bool {
        false
    }

    /// Its rows for each subject.
    fn cases(&self, _: &Plan) -> Vec<Case> {
        vec![Case {
            crash: self.id(),
            fs: None,
        }]
    }

    /// Whether it can be done here to what is tested; if not, why.
    fn available(&self, tested: Tested<'_>, case: Case, plan: &Plan) -> Result<(), String>;

    /// What this machine lets it do, whatever is tested: a name for each case, and if it cannot be
    /// done, why. Tried, not guessed.
    fn probe(&self) -> Vec<(String, Result<(), String>)>;

    /// Stores are copied at every step: their directories should be in memory.
    fn wants_memory(&self) -> bool {
        false
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a>;

    /// Looks at a saved failure again.
    ///
    /// # Errors
    /// If the failure cannot be read, or the machine fails.
    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed>;

    /// Looks for the smallest version of a saved failure until the deadline.
    ///
    /// # Errors
    /// If the failure cannot be read, or the machine fails.
    fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking>;

    /// Plays a script, as a test has it. `None` if it is not of this kind.
    ///
    /// # Errors
    /// If the machine fails.
    fn play(&self, _script: &Value, _: &Job<'_>, _: &mut Tally) -> io::Result<Option<Played>> {
        Ok(None)
    }
}
