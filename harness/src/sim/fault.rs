//! Errors of the disk, planned ahead.

use std::fmt;
use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Which operation fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A sync of a file: EIO. What was pending is clean from then on and never written; what memory
    /// shows, and what of it is on the disk, depends on the [`Profile`](super::Profile).
    Sync,
    /// A sync of a directory: EIO. The names stay pending.
    SyncDir,
    /// A write: EIO, after any part of it, also the whole.
    Write,
    /// A write that writes less than it was asked to, without an error.
    ShortWrite,
    /// A read: EIO.
    Read,
    /// A new file or directory: EIO.
    Create,
    /// A rename: EIO.
    Rename,
    /// The disk is full: ENOSPC for this operation and the next ones that take space, then there is
    /// room again. A write may be cut anywhere instead.
    NoSpace {
        /// How many operations fail.
        lasting: u32,
    },
}

impl FaultKind {
    /// One of each.
    pub const ALL: [Self; 8] = [
        Self::Sync,
        Self::SyncDir,
        Self::Write,
        Self::ShortWrite,
        Self::Read,
        Self::Create,
        Self::Rename,
        Self::NoSpace { lasting: 3 },
    ];
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "a sync fails",
            Self::SyncDir => "a sync of a directory fails",
            Self::Write => "a write fails",
            Self::ShortWrite => "a write is short",
            Self::Read => "a read fails",
            Self::Create => "a creation fails",
            Self::Rename => "a rename fails",
            Self::NoSpace { .. } => "the disk is full",
        })
    }
}

/// One error: the n-th operation that it applies to, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What fails.
    pub kind: FaultKind,
    /// How many such operations go well before.
    pub after: u32,
}

/// What an operation is, to faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Sync,
    SyncDir,
    /// `grows`: it takes space.
    Write {
        grows: bool,
    },
    /// Space without bytes.
    Grow,
    Read,
    Create,
    Rename,
}

/// What an operation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Well,
    Eio,
    Short,
    NoSpace,
}

/// A plan, and how far it has got.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    plan: Vec<Planned>,
    pub(super) injected: u32,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    kind: FaultKind,
    /// Operations to go well before.
    left: u32,
    /// Operations to fail.
    fails: u32,
}

impl Faults {
    pub(super) fn new(plan: &[Fault]) -> Self {
        let plan = plan.iter().map(|fault| Planned {
            kind: fault.kind,
            left: fault.after,
            fails: match fault.kind {
                FaultKind::NoSpace { lasting } => lasting,
                _ => 1,
            },
        });
        Self {
            plan: plan.collect(),
            injected: 0,
        }
    }

    pub(super) fn fate(&mut self, class: Class) -> Fate {
        let mut fate = Fate::Well;
        for planned in &mut self.plan {
            let concerned = match (planned.kind, class) {
                (FaultKind::Sync, Class::Sync)
                | (FaultKind::SyncDir, Class::SyncDir)
                | (FaultKind::Write | FaultKind::ShortWrite, Class::Write { .. })
                | (FaultKind::Read, Class::Read)
                | (FaultKind::Create, Class::Create)
                | (FaultKind::Rename, Class::Rename)
                | (FaultKind::NoSpace { .. }, Class::Grow | Class::Create) => true,
                (FaultKind::NoSpace { .. }, Class::Write { grows }) => grows,
                _ => false,
            };
            if !concerned || planned.fails == 0 {
                continue;
            }
            if planned.left > 0 {
                planned.left -= 1;
                continue;
            }
            planned.fails -= 1;
            fate = match planned.kind {
                FaultKind::ShortWrite => Fate::Short,
                FaultKind::NoSpace { .. } => Fate::NoSpace,
                _ => Fate::Eio,
            };
        }
        self.injected += u32::from(fate != Fate::Well);
        fate
    }
}

pub(super) fn eio() -> io::Error {
    Errno::EIO.into()
}

pub(super) fn no_space() -> io::Error {
    Errno::ENOSPC.into()
}
