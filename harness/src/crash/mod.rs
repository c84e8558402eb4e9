//! How a store dies: one file a crash kind.

pub(crate) mod disk;
pub(crate) mod kill;
mod recording;
pub(crate) mod simulated;
pub(crate) mod syscall;

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub(crate) use recording::{refuse_io_uring, written_range};

use crate::blackbox;
use crate::disk::FileSystemKind;
use crate::finding::Finding;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::subject::Subject;
use crate::tally::Tally;
use crate::workload::stream;

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
    /// The simulated file system loses power at any operation, in recovery too: unsynced bytes and
    /// names are lost, torn by sector, reordered, by the rules of a [`Profile`](crate::sim::Profile).
    ///
    /// Finds missing and misplaced syncs, of directories too, wrong orders, torn writes. Cannot find
    /// what needs a real kernel. Needs [`Subject::simulated`].
    Power,
    /// A real ext4, XFS or Btrfs on a recorded block device: every prefix of its writes, and subsets of
    /// those that were not flushed, is mounted and recovered. See [`disk`](crate::disk).
    ///
    /// Finds the same as `Power`, on the real thing, in any store that takes a directory. Cannot find
    /// what a device does wrong. Needs root, FUSE and loop devices.
    Disk,
    /// The simulated disk fails: syncs, writes, reads, creation, renames, space. Then the store goes
    /// on, is started again, loses power.
    ///
    /// Finds retried syncs, acknowledgements after errors, forgotten rollbacks. Needs
    /// [`Subject::simulated`].
    Fault,
    /// Bytes rot in what survived: flipped bits, zeroed, swapped, stale and misplaced sectors.
    ///
    /// Finds damage that is accepted in silence, and loss of what the surviving bytes vouch for. Needs
    /// [`Subject::simulated`].
    Rot,
}

impl CrashKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Syscall,
        Self::Power,
        Self::Disk,
        Self::Fault,
        Self::Rot,
    ];

    /// The kinds that need no privileges: what is done if none is named.
    pub const UNPRIVILEGED: [Self; 5] = [
        Self::Kill,
        Self::Syscall,
        Self::Power,
        Self::Fault,
        Self::Rot,
    ];

    /// It happens on the simulated file system.
    pub(crate) fn is_simulated(self) -> bool {
        matches!(self, Self::Power | Self::Fault | Self::Rot)
    }

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
            Self::Power => {
                "the simulated file system loses power at any operation, in recovery too; finds missing \
                 and misplaced syncs, of directories too, wrong orders, torn writes; cannot find what \
                 needs a real kernel"
            }
            Self::Disk => {
                "a real ext4, xfs or btrfs on a recorded block device: prefixes of its writes and subsets \
                 of the unflushed ones, mounted and recovered; finds the same as power, in any store; \
                 cannot find what a device does wrong"
            }
            Self::Fault => {
                "the simulated disk fails (syncs, writes, reads, creation, renames, space), then power \
                 is lost; finds retried syncs, acks after errors, forgotten rollbacks"
            }
            Self::Rot => {
                "flipped bits, zeroed, swapped, stale and misplaced sectors in what survived; finds \
                 damage accepted in silence; cannot blame the loss of what nothing on disk vouches for"
            }
        }
    }
}

impl fmt::Display for CrashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Syscall => "syscall",
            Self::Power => "power",
            Self::Disk => "disk",
            Self::Fault => "fault",
            Self::Rot => "rot",
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

/// A failure, and when it was found.
pub(crate) struct Found {
    pub(crate) finding: Finding,
    /// Crash states that its round had looked at by then.
    pub(crate) states: u64,
    pub(crate) at: Instant,
}

/// Which failures end a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// The first one.
    First,
    /// None: of each class the first one is kept.
    Each,
    /// The first one of this class; others are not looked at.
    Class(String),
}

impl Sought {
    /// What a row of this subject looks for.
    pub(crate) fn by(plan: &Plan, subject: &dyn Subject) -> Self {
        if plan.goes_on(subject) {
            Self::Each
        } else {
            Self::First
        }
    }

    pub(crate) fn ends_with(&self, violation: &Violation) -> bool {
        match self {
            Self::First => true,
            Self::Each => false,
            Self::Class(class) => violation.class() == *class,
        }
    }
}

/// One directory's crashes after another's, on one thread. Its plan depends on its seed only.
pub(crate) enum Lane<'a> {
    Kill(Box<kill::Lane<'a>>),
    Syscall(Box<syscall::Lane<'a>>),
    BlackBox(Box<blackbox::Lane<'a>>),
    Simulated(Box<simulated::Lane<'a>>),
    Disk(Box<disk::Lane<'a>>),
}

impl<'a> Lane<'a> {
    /// `row` and `lane` are the numbers by which its randomness and its directories below `scratch` are
    /// told from others'.
    pub(crate) fn new(
        crash: CrashKind,
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &'a Path,
        file_system: Option<FileSystemKind>,
        stop: &'a AtomicBool,
        (row, lane): (u64, u64),
    ) -> Self {
        let name = &format!("{row}-{lane}");
        let rng = stream(plan.seed, row << 32 | lane);
        if let Some(kind) = file_system {
            let store: Box<dyn disk::Store> = match subject.black_box() {
                Some(store) => {
                    let (launcher, limit) = (plan.launcher.clone(), plan.hang_limit);
                    Box::new(blackbox::DiskStore::new(store, launcher, limit, plan.seed))
                }
                None => Box::new(disk::SubjectStore::new(subject, plan, scratch)),
            };
            let file_system = plan.file_system(kind);
            let lane = disk::Lane::new(store, file_system, scratch, name, stop, rng);
            return Self::Disk(Box::new(lane));
        }
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
            CrashKind::Disk => unreachable!("a row of this kind has a file system"),
            CrashKind::Power | CrashKind::Fault | CrashKind::Rot => {
                let lane = simulated::Lane::new(crash, subject, plan, scratch, name, row);
                Self::Simulated(Box::new(lane))
            }
        }
    }

    /// One round: write, crash, recover, check. Counts what it did in `tally`. `number` is the round's
    /// in its row: what is deterministic depends on it and the seed alone. Of a subject whose row goes
    /// on after failures there may be several, one of each class.
    pub(crate) fn round(&mut self, number: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        let found = match self {
            Self::Simulated(lane) => return lane.round(number, tally),
            Self::Syscall(lane) => return lane.round(tally),
            Self::Disk(lane) => lane.round(tally)?,
            Self::Kill(lane) => lane.round(tally)?,
            Self::BlackBox(lane) => lane.round(tally)?,
        };
        let now = |finding| Found {
            finding,
            states: tally.crash_states,
            at: Instant::now(),
        };
        Ok(found.into_iter().map(now).collect())
    }
}
