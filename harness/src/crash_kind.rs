//! The names of the crash kinds. What each does is in `kinds`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// Finds the same as `Kill`, at every boundary, and has the same blind spots.
    Syscall,
    /// The simulated file system loses power at any operation, in recovery too: unsynced bytes and
    /// names are lost, torn by sector, reordered, by the rules of a [`Profile`](crate::sim::Profile).
    ///
    /// Finds missing and misplaced syncs, of directories too, wrong orders, torn writes. Cannot find
    /// what needs a real kernel. Needs [`Subject::simulated`](crate::Subject::simulated).
    Power,
    /// A real ext4, XFS or Btrfs on a recorded block device: every prefix of its writes, and subsets of
    /// those that were not flushed, is mounted and recovered. See [`disk`](crate::disk).
    ///
    /// Finds the same as `Power`, on the real thing, in any store that takes a directory. Cannot find
    /// what a device does wrong. Needs root, FUSE and loop devices.
    Disk,
    /// The disk fails: syncs, writes, creation, renames, space, and on the simulated one reads. Then the store
    /// goes on or stops, and loses power.
    ///
    /// Finds retried syncs, acknowledgements after errors, ignored counts, forgotten rollbacks. A store
    /// without [`Subject::simulated`](crate::Subject::simulated) is traced.
    Fault,
    /// Bytes rot in what survived: flipped bits, zeroed, swapped, stale and misplaced sectors.
    ///
    /// Finds damage that is accepted in silence, and loss of what the surviving bytes vouch for. A store
    /// without [`Subject::simulated`](crate::Subject::simulated) is traced, if this kind is asked for by name:
    /// nothing that is wrong may be served.
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

    /// The rounds of a test that asks for no number: together, they take some seconds of a debug build of a small
    /// store.
    pub(crate) fn usual_rounds(self) -> u64 {
        match self {
            Self::Kill => 40,
            Self::Syscall | Self::Power | Self::Rot => 10,
            Self::Disk => 3,
            Self::Fault => 2,
        }
    }

    /// The kinds that need no privileges: what is done if none is named.
    pub const UNPRIVILEGED: [Self; 5] = [
        Self::Kill,
        Self::Syscall,
        Self::Power,
        Self::Fault,
        Self::Rot,
    ];
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
