//! Sync ablation: leaves out each sync of a store in turn, to see whether anybody notices.
//!
//! What nobody notices is either a sync that does nothing, or a tester that is blind. Both are worth
//! knowing.

mod command;
mod filter;
mod progress;
mod report;
mod site;
mod stack;
mod study;
mod symbol;
mod traced;

use std::io;
use std::time::Duration;

pub use self::filter::Hits;
pub use self::report::{AblatedSync, AblationReport, Notice, ProfileTrial, SyncOutcome};
pub use self::site::{CodePlace, SyncKind, SyncSite};

pub(crate) use self::command::{AblateArgs, EXAMPLES, run};

use self::progress::Progress;
use crate::hang::{self, OnHang};
use crate::plan::{Budget, Plan};
use crate::process::Launcher;
use crate::recorder::RecorderKind;
use crate::roles;
use crate::sim::Profile;
use crate::store::UnderTest;

/// Leaves out each sync call site of a store in turn and reports which of them the oracle misses.
///
/// A store with a seam runs on the simulated file system, with [`CrashKind::Power`] and [`CrashKind::Fault`]. First
/// a census, with every sync in place: which sites there are, and which rounds come to each. Then,
/// site by site, the same rounds with that site's syncs left out: they succeed and do nothing. The
/// syncs of all processes are left out, of those that recover, too.
///
/// A *site* is the [nearest calls](SyncSite::calls) in the store's own code. The file that calls
/// [`SimFs`](crate::sim::SimFs) is taken for an adapter, whose syncs belong to its caller, unless
/// there is nothing but that file.
///
/// Of any other store, runs are recorded under trace, and nothing is run again: a site's syncs are left out
/// of the model of what is durable, and the crash states that exist only then are examined. A site is the
/// [system call](SyncSite::system_call) and the [file](SyncSite::file).
///
/// ```no_run
/// # use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};
/// # struct MyStore;
/// # impl Subject for MyStore {
/// #     fn name(&self) -> &str { "my-store" }
/// #     fn write(&self, _: &WriteRun) -> Result<(), SubjectError> { Ok(()) }
/// #     fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> { Ok(()) }
/// # }
/// #[test]
/// fn every_sync_is_needed() -> std::io::Result<()> {
///     let report = plugpull::Ablation::new(MyStore).rounds(20).seed(1).run()?;
///     assert!(report.is_complete(), "{report}");
///     Ok(())
/// }
/// ```
///
/// [`CrashKind::Power`]: crate::CrashKind::Power
/// [`CrashKind::Fault`]: crate::CrashKind::Fault
#[must_use = "an ablation does nothing until it is run"]
pub struct Ablation {
    under_test: UnderTest,
    plan: Plan,
}

impl Ablation {
    /// 20 rounds of each crash kind, seed 0, one thread, all engines and profiles.
    ///
    /// Of a [`BlackBox`](crate::BlackBox), or of a subject without a seam, runs are recorded under trace.
    pub fn new(under_test: impl Into<UnderTest>) -> Self {
        Self {
            under_test: under_test.into(),
            plan: Plan {
                budget: Budget::Rounds(20),
                out: std::env::temp_dir(),
                ..Plan::default()
            },
        }
    }

    /// So many rounds of each crash kind for the census, and no more for any site. The same seed gives
    /// the same report then.
    pub fn rounds(mut self, rounds: u64) -> Self {
        self.plan.budget = Budget::Rounds(rounds);
        self
    }

    /// So long, all sites together.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.plan.budget = Budget::Duration(duration);
        self
    }

    /// Everything random derives from it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// So many sites at the same time.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.plan.jobs = jobs.max(1);
        self
    }

    /// The time that the store has to return from a call: one that does not hangs, and ends the ablation.
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.plan.hang_limit = limit;
        self
    }

    /// Only this one of the subject's engines.
    pub fn engine(mut self, engine: impl Into<String>) -> Self {
        self.plan.engines = vec![engine.into()];
        self
    }

    /// What records the runs. Default: the seam, if the store has one.
    pub fn recorder(mut self, recorder: RecorderKind) -> Self {
        self.plan.recorder = Some(recorder);
        self
    }

    /// Only by the rules of these profiles.
    pub fn profiles(mut self, profiles: impl IntoIterator<Item = Profile>) -> Self {
        self.plan.profiles = profiles.into_iter().collect();
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the subject does not run on the simulated file system, has no such engine, or the machine
    /// fails; or if the store hangs: then the process should end soon.
    pub fn run(mut self) -> io::Result<AblationReport> {
        roles::obey_orders(self.under_test.subject().as_slice());
        // Only runs under trace have child processes.
        if let Ok(launcher) = Launcher::of_this_test() {
            self.plan.launcher = launcher.stopped_by(&self.plan.stop);
        }
        let stop = self.plan.stop.clone();
        let work = move |on_hang: &OnHang| {
            let progress = Progress::silent();
            command::ablate(self.under_test.tested(), &self.plan, &progress, on_hang)
        };
        hang::apart(work).unwrap_or_else(|hang| {
            stop.set();
            Err(io::Error::other(hang.to_string()))
        })
    }
}
