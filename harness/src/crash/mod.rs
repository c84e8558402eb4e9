//! How a store dies: one file a crash kind.

pub(crate) mod kill;
mod recording;
pub(crate) mod syscall;

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub(crate) use recording::{refuse_io_uring, written_range};

use crate::blackbox;
use crate::campaign::Plan;
use crate::finding::Finding;
use crate::subject::Subject;
use crate::tally::Tally;

/// A way to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// SIGKILL at a random instant, many generations on one directory.
    ///
    /// Finds torn user-space state, wrong acknowledgements, bad recovery, locks left behind. Cannot
    /// find a missing fsync: the page cache survives a kill.
    Kill,
    /// One run under trace, stopped at every system call on the store's directory; a copy of the
    /// directory there is what a SIGKILL there leaves. Also inside writes, and in recovery.
    ///
    /// Finds the same as `Kill`, at every boundary. Cannot find the same either.
    Syscall,
}

impl CrashKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Kill, Self::Syscall];

    /// What it does, finds, and cannot find.
    pub fn description(self) -> &'static str {
        match self {
            Self::Kill => {
                "SIGKILL at a random instant, many generations on one directory; finds torn user-space \
                 state, wrong acks, bad recovery, locks left behind; cannot find a missing fsync (the \
                 page cache survives)"
            }
            Self::Syscall => {
                "one run traced: the crash states before, after and inside every system call on the \
                 directory, in recovery too; finds and cannot find the same as kill, at every boundary"
            }
        }
    }
}

impl fmt::Display for CrashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Syscall => "syscall",
        })
    }
}

impl FromStr for CrashKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| {
                let known: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
                format!(
                    "unknown crash kind '{name}'; known are: {}",
                    known.join(", ")
                )
            })
    }
}

/// One directory's crashes after another's, on one thread. Its plan depends on its seed only.
pub(crate) enum Lane<'a> {
    Kill(Box<kill::Lane<'a>>),
    Syscall(Box<syscall::Lane<'a>>),
    BlackBox(Box<blackbox::Lane<'a>>),
}

impl<'a> Lane<'a> {
    /// `name` tells this lane's directories from those of others below `scratch`.
    pub(crate) fn new(
        crash: CrashKind,
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        if let Some(store) = subject.black_box() {
            let lane = blackbox::Lane::new(crash, store, plan, scratch, name, rng);
            return Self::BlackBox(Box::new(lane));
        }
        match crash {
            CrashKind::Kill => {
                Self::Kill(Box::new(kill::Lane::new(subject, plan, scratch, name, rng)))
            }
            CrashKind::Syscall => Self::Syscall(Box::new(syscall::Lane::new(
                subject, plan, scratch, name, rng,
            ))),
        }
    }

    /// One generation: write, crash, recover, check. Counts what it did in `tally`.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        match self {
            Self::Kill(lane) => lane.round(tally),
            Self::Syscall(lane) => lane.round(tally),
            Self::BlackBox(lane) => lane.round(tally),
        }
    }
}
