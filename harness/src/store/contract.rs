//! The one view that crash kinds have of what is under test.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::announced::Announced;
use super::assignment::{Assignment, Until};
use super::preparations::Preparations;
use super::run::{Watched, run};
use crate::crash_kind::CrashKind;
use crate::disk::Clock;
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::{Stage, Violation};
use crate::owner::Owner;
use crate::process::{Launcher, Unanswered};
use crate::survivor::Survivor;
use crate::workload::Workload;

/// What a writer is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'w> {
    /// Write without end: it is killed at an instant that the store draws.
    UntilKilled,
    /// Write for a while under trace: few writers, small files.
    Traced,
    /// Write a little on a recorded device and end, or be ended.
    OnDevice,
    /// Exactly this, under trace. Only where the store knows workloads.
    Scripted(&'w Workload),
}

/// What a generation of writers did.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) announced: Announced,
    /// What the writer did wrong, by itself.
    pub(crate) failed: Option<Violation>,
}

/// What a recovery showed, or what the store did wrong.
pub(crate) type Recovered = Result<Vec<Survivor>, Violation>;

/// What recovery made of damaged bytes.
#[derive(Debug)]
pub(crate) enum Damaged {
    /// It served what it takes for right.
    Served(Vec<Survivor>),
    /// It said that it cannot.
    Refused,
    /// It did what no bytes may bring it to: it crashed, did not end, or served what is no entry.
    Broken(Violation),
}

impl From<Result<Vec<Survivor>, Unanswered>> for Damaged {
    fn from(answer: Result<Vec<Survivor>, Unanswered>) -> Self {
        match answer {
            Ok(survivors) => Self::Served(survivors),
            Err(Unanswered::Refused(_)) => Self::Refused,
            Err(Unanswered::Broken(detail)) => Self::Broken(Violation::Broken {
                stage: Stage::DamagedRecovery,
                detail,
            }),
        }
    }
}

/// What the next generation finds after a crash state was examined in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextBase {
    /// The crash state itself. What its recovery showed in the copy must then hold in the original,
    /// so recovery has to be deterministic.
    CrashState,
    /// What the recovery made of it: all that an oracle may rely on where nothing else is promised.
    Recovered,
}

/// A store, generation after generation in one directory.
///
/// An implementation keeps what is known of the directory: which generations wrote, and what the
/// oracle has seen. A crash kind decides where the directory is and how its writers die.
pub(crate) trait Store {
    /// The directory is empty, and nothing is known of it.
    fn begin(&mut self, rng: &mut ChaCha8Rng);

    /// A process that makes the store in `dir`, which is empty, if it is to be there before it is tortured.
    fn preparation(&mut self, dir: &Path) -> io::Result<Option<Assignment>>;

    /// What was prepared by now: see [`prepared`](crate::store::prepared).
    fn preparations(&mut self) -> &mut Preparations;

    /// The number of generations written since.
    fn generations(&self) -> usize;

    /// The number of generations that are killed in one directory before a fresh one is begun: after
    /// each kill, everything that they wrote is read.
    fn kills_max(&self) -> usize;

    fn engine(&self) -> &str;

    /// How child processes are started, and how long one is given that has to end or to answer.
    fn launching(&self) -> (&Launcher, Duration);

    /// Owns the store's directory, if it is not the user who runs the torture: each process of the store finds it
    /// so.
    fn owner(&self) -> Option<&Owner> {
        None
    }

    /// What a device is to raise while the next generation writes on it.
    fn clock(&mut self) -> io::Result<Arc<dyn Clock>>;

    /// The next generation's writer. Its outcome goes to [`written`](Self::written).
    fn writer(
        &mut self,
        dir: &Path,
        work: Work<'_>,
        rng: &mut ChaCha8Rng,
    ) -> io::Result<Assignment>;

    /// The last generation's writer once more, of a store that was [resumed](Self::resume).
    fn writer_again(&mut self, dir: &Path) -> io::Result<Assignment>;

    /// The last writer's run did not happen: the next one takes its place in its generation.
    fn take_back(&mut self);

    /// What the writer announced, and what it did wrong.
    ///
    /// # Errors
    /// If the program could not be started at all.
    fn written(&mut self, watched: &Watched) -> io::Result<Written>;

    /// A process of its own that recovers what is in `dir`. Its outcome goes to
    /// [`recovered`](Self::recovered).
    fn recovery(&mut self, dir: &Path, close: bool) -> io::Result<Assignment>;

    /// What a process of [`recovery`](Self::recovery) showed.
    fn recovered(&mut self, watched: &Watched) -> io::Result<Recovered>;

    /// Recovers what is in `dir`, in a process that lives on where the store has one.
    fn recover(&mut self, dir: &Path, close: bool) -> io::Result<Recovered> {
        self.recover_apart(dir, close)
    }

    /// Ends the process that lives on, if there is one: with it, what it has left open.
    fn release(&mut self) {}

    /// Recovers what is in `dir`, in a process of its own.
    fn recover_apart(&mut self, dir: &Path, close: bool) -> io::Result<Recovered> {
        let assignment = self.recovery(dir, close)?;
        let (launcher, limit) = self.launching();
        let watched = run(&assignment, launcher, limit, || 0)?;
        self.recovered(&watched)
    }

    /// Recovers what is in `dir`, where bytes are damaged.
    fn recover_damaged(&mut self, dir: &Path) -> io::Result<Damaged>;

    /// Begins to recover what is in `dir`, and is killed after a time drawn from `rng`.
    fn recover_and_be_killed(&mut self, dir: &Path, rng: &mut ChaCha8Rng) -> io::Result<()> {
        let wait = self.recovery_cut(rng);
        let mut assignment = self.recovery(dir, false)?;
        assignment.until = Until {
            announcements: 0,
            wait,
            ..Until::END
        };
        let (launcher, limit) = self.launching();
        run(&assignment, launcher, limit, || 0).map(drop)
    }

    /// How long a recovery lives that is killed half-way.
    fn recovery_cut(&self, rng: &mut ChaCha8Rng) -> Duration;

    /// Whether survivors are what the last generation's events promise.
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation>;

    /// Whether what is served of damaged bytes is right, where nothing vouches for what they held: anything may
    /// be gone, nothing may be wrong.
    fn check_damaged(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation>;

    /// Moves on to the next generation, which begins with these survivors.
    fn advance(&mut self, events: &[Event], survivors: &[Survivor]);

    /// What the next generation finds where a state was examined in a copy.
    fn next_base(&self) -> NextBase;

    /// How an entry is named in a story.
    fn entry_name(&self, id: u64) -> String {
        format!("{id:#x}")
    }

    /// A failure, as far as the store can tell of it.
    fn finding(&self, crash: CrashKind, violation: Violation, events: Vec<Event>) -> Finding;

    /// Becomes what it was when a failure was found.
    ///
    /// # Errors
    /// If the failure is of another store.
    fn resume(&mut self, finding: &Finding) -> io::Result<()>;
}
