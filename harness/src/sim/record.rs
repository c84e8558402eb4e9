//! One run: every operation, and the disk before each of them.

use std::fmt;
use std::ops::Range;

use super::change::Setting;
use super::disk::Disk;
use super::fault::FaultKind;
use super::nodes::Ino;
use crate::history::{Event, History, Mark};
use crate::tree::Kind;

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    CreateDir,
    Link {
        to: String,
    },
    Rename {
        to: String,
    },
    /// From elsewhere.
    Arrive,
    /// Two names change places.
    Exchange {
        with: String,
    },
    Remove,
    Write {
        range: Range<u64>,
    },
    SetLen {
        len: u64,
    },
    SyncData,
    SyncAll,
    SyncDir,
    /// Of all files and directories.
    SyncEverything,
    /// It was not carried out as it was made.
    Answered {
        told: String,
    },
    /// A node that is neither a file nor a directory.
    MakeNode {
        kind: Kind,
    },
    Set {
        setting: Setting,
    },
    PunchHole {
        range: Range<u64>,
    },
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateDir => "mkdir",
            Self::Link { .. } => "link",
            Self::Rename { .. } => "rename",
            Self::Arrive => "rename from elsewhere",
            Self::Exchange { .. } => "exchange",
            Self::Remove => "unlink",
            Self::Write { .. } => "write",
            Self::SetLen { .. } => "truncate",
            Self::SyncData => "fdatasync",
            Self::SyncAll => "fsync",
            Self::SyncDir => "fsync directory",
            Self::SyncEverything => "sync",
            Self::Answered { .. } => "error",
            Self::MakeNode { .. } => "mknod",
            Self::Set { .. } => "set",
            Self::PunchHole { .. } => "punch hole",
        }
    }

    pub(crate) fn is_sync(&self) -> bool {
        matches!(
            self,
            Self::SyncData | Self::SyncAll | Self::SyncDir | Self::SyncEverything
        )
    }
}

/// One operation of a run.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) call: Call,
    /// The file that it was done to, if it had one already.
    pub(crate) ino: Option<Ino>,
    /// The path that it was given, where it was given one.
    pub(crate) path: Option<String>,
    /// The error that was injected.
    pub(crate) failed: Option<String>,
}

/// A moment between two operations.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) disk: Disk,
    /// What had been announced when the next operation began, by any thread.
    announced: Mark,
    /// How many errors had been injected.
    injected: u32,
}

/// A run on a simulated file system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    history: Option<History>,
    pub(crate) operations: Vec<Operation>,
    /// One before each operation and, when the run is over, one after the last.
    pub(crate) gaps: Vec<Gap>,
    /// How often it read.
    pub(super) reads: usize,
}

impl Recording {
    /// Events come from `history`, if there is one.
    pub(super) fn new(history: Option<History>) -> Self {
        Self {
            history,
            ..Self::default()
        }
    }

    fn gap(&self, disk: &Disk, injected: u32) -> Gap {
        let mark = |history: &History| match self.gaps.last() {
            Some(last) => history.mark_after(&last.announced),
            None => history.mark(),
        };
        Gap {
            disk: disk.clone(),
            announced: self.history.as_ref().map(mark).unwrap_or_default(),
            injected,
        }
    }

    pub(super) fn begin(&mut self, disk: &Disk, injected: u32, operation: Operation) {
        self.gaps.push(self.gap(disk, injected));
        self.operations.push(operation);
    }

    pub(super) fn failed(&mut self, error: &std::io::Error) {
        if let Some(last) = self.operations.last_mut() {
            last.failed = Some(error.to_string());
        }
    }

    /// The last write was of so many bytes.
    pub(super) fn wrote(&mut self, len: u64) {
        let last = self.operations.last_mut();
        if let Some(Call::Write { range }) = last.map(|last| &mut last.call) {
            range.end = range.start + len;
        }
    }

    pub(super) fn end(&mut self, disk: &Disk, injected: u32) {
        self.gaps.push(self.gap(disk, injected));
    }

    /// Whether the operation after a gap is a sync.
    pub(crate) fn is_sync(&self, gap: usize) -> bool {
        let next = self.operations.get(gap);
        next.is_some_and(|next| next.call.is_sync())
    }

    /// The first operation with an injected error, or before such a read, which is not recorded. What
    /// fails on a disk in order, too, does not count.
    pub(crate) fn first_injected(&self) -> Option<usize> {
        let behind = self.gaps.iter().position(|gap| gap.injected > 0)?;
        Some(behind.saturating_sub(1))
    }

    /// The moments right behind injected errors: the operation has failed, and the store has not reacted
    /// yet.
    pub(crate) fn behind_injected(&self) -> impl Iterator<Item = usize> {
        let pairs = self.gaps.windows(2).zip(1..);
        pairs.filter_map(|(pair, gap)| (pair[0].injected < pair[1].injected).then_some(gap))
    }

    /// How many operations a kind of error can hit.
    pub(crate) fn count(&self, kind: FaultKind) -> usize {
        let hit = |call: &Call| match kind {
            FaultKind::Sync => matches!(call, Call::SyncData | Call::SyncAll),
            FaultKind::SyncDir => *call == Call::SyncDir,
            FaultKind::Write | FaultKind::ShortWrite | FaultKind::NoSpace { .. } => {
                matches!(call, Call::Write { .. })
            }
            FaultKind::Create => {
                matches!(call, Call::Create | Call::CreateDir | Call::MakeNode { .. })
            }
            FaultKind::Rename => matches!(call, Call::Rename { .. }),
            FaultKind::Read => false,
        };
        match kind {
            FaultKind::Read => self.reads,
            _ => self
                .operations
                .iter()
                .filter(|operation| hit(&operation.call))
                .count(),
        }
    }

    /// What had been announced at a gap: what was published before the next operation began.
    pub(crate) fn events_at(&self, gap: usize) -> Vec<Event> {
        let announced = &self.gaps[gap].announced;
        let history = self.history.as_ref();
        history.map_or_else(Vec::new, |history| history.events_at(announced))
    }

    /// What a failed sync has left in memory alone, in words.
    pub(crate) fn tell_dropped(&self, index: usize) -> Option<String> {
        let operation = &self.operations[index];
        let is_sync = matches!(operation.call, Call::SyncData | Call::SyncAll);
        let (true, Some(_), Some(ino)) = (is_sync, &operation.failed, operation.ino) else {
            return None;
        };
        let after = &self.gaps.get(index + 1)?.disk;
        let ranges = after.file(ino).ok()?.in_memory_only();
        let (first, last) = (ranges.first()?.start, ranges.last()?.end);
        Some(format!(
            "of bytes {first}..{last}, some are in memory only: no later sync writes them"
        ))
    }

    /// An operation in words, with the path that its file had then.
    pub(crate) fn tell(&self, index: usize) -> String {
        let operation = &self.operations[index];
        let disk = &self.gaps[index].disk;
        let path = operation
            .path
            .clone()
            .or_else(|| disk.path_of(operation.ino?));
        let told = Told {
            path: path.as_deref().unwrap_or("(a removed file)"),
            operation,
        };
        format!("{:>4}  {told}", disk.clock)
    }
}

struct Told<'a> {
    path: &'a str,
    operation: &'a Operation,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path;
        match &self.operation.call {
            Call::Create => write!(f, "create {path}"),
            Call::CreateDir => write!(f, "create directory {path}"),
            Call::Link { to } => write!(f, "link {path} as {to}"),
            Call::Rename { to } => write!(f, "rename {path} to {to}"),
            Call::Arrive => write!(f, "move {path} here from elsewhere"),
            Call::Exchange { with } => write!(f, "exchange {path} and {with}"),
            Call::Remove => write!(f, "remove {path}"),
            Call::Write { range } => {
                write!(f, "write {path}, bytes {}..{}", range.start, range.end)
            }
            Call::SetLen { len } => write!(f, "set the length of {path} to {len}"),
            Call::SyncData => write!(f, "fdatasync {path}"),
            Call::SyncAll => write!(f, "fsync {path}"),
            Call::SyncDir => write!(f, "fsync directory {path}"),
            Call::SyncEverything => f.write_str("sync everything"),
            Call::Answered { told } => f.write_str(told),
            Call::MakeNode { kind } => write!(f, "create {kind} {path}"),
            Call::Set { setting } => write!(f, "set the {setting} of {path}"),
            Call::PunchHole { range } => {
                write!(
                    f,
                    "punch a hole into {path}, bytes {}..{}",
                    range.start, range.end
                )
            }
        }?;
        match &self.operation.failed {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}
