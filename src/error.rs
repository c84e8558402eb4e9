//! What can go wrong, said so that the reader knows the path, the operation and the way out.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::seq_no::SeqNo;
use crate::sync::Arc;

/// The result of an operation on a log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a log: opaque, cheap to clone, with predicates for what a program may want to decide
/// on.
///
/// Its `Display` names the path and the operation and says what to do next.
#[derive(Clone)]
pub struct Error(Arc<Kind>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("invalid entry: {0}")]
    InvalidEntry(String),
    #[error("invalid options: {0}")]
    InvalidOptions(String),
    #[error("cannot {operation} {}: {source}{}", path.display(), hint(source))]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} is corrupt at byte {offset}: {detail}. Nothing was changed. Restore the log from a copy, or \
         move what is left of it into a new log and accept the loss (`groupwal salvage`)",
        path.display()
    )]
    Corrupt {
        path: PathBuf,
        offset: u64,
        detail: String,
    },
    #[error(
        "{} is not the log's any more: {detail}. The log stops before it changes anything in the directory. \
         Open it again where its files are now; entries that were acknowledged after a file had lost its \
         name are lost with it",
        path.display()
    )]
    Displaced { path: PathBuf, detail: &'static str },
    #[error(
        "files of the log are missing in {}: {detail}. Nothing was changed. Put them back from a copy, or begin a \
         new log in their place and accept the loss (Options::create with Create::AfterLoss)",
        path.display()
    )]
    Missing { path: PathBuf, detail: String },
    #[error(
        "there is no log in {}, and none is to be created (Options::create with Create::Never)",
        path.display()
    )]
    NoLog { path: PathBuf },
    #[error("{} is written in format version {found}, this version reads {supported}: use a newer groupwal", path.display())]
    Version {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("the log is in use: {} is locked by another handle or process; close that one first", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the log is in use: the files in {} change while they are read. Stop the process that writes to it first",
        path.display()
    )]
    ChangesMeanwhile { path: PathBuf },
    #[error(
        "io_uring cannot be had here: {0}. Choose EngineKind::Auto, which does without it then, or allow it \
         (sysctl kernel.io_uring_disabled=0; in a container, its seccomp profile)"
    )]
    NoUring(io::Error),
    #[error(
        "the outcome is unknown: the entry may or may not be in the log; reopen the log to find out. Cause: {0}"
    )]
    OutcomeUnknown(Error),
    #[error("not written: the entry is not in the log and may be appended again. Cause: {0}")]
    NotWritten(Error),
    #[error("the log is poisoned: it takes no more entries until it is opened again. Cause: {0}")]
    Poisoned(Error),
    #[error("the log is closed")]
    Closed,
    #[error("too many appends are in progress (Options::appends_max); the entry was not written")]
    Overloaded,
    #[error(
        "entry {requested} has been trimmed: the oldest entry that can be replayed is {oldest}"
    )]
    Trimmed { requested: u64, oldest: u64 },
    #[error(
        "entries {first} to {} are lost: the log was salvaged from a damaged one. Entry {end} is the next \
         that can be replayed",
        end - 1
    )]
    Lost { first: u64, end: u64 },
    #[error("given up on request; nothing was made")]
    GivenUp,
    #[error("{} is there already: a new log is never made in place of anything", path.display())]
    Exists { path: PathBuf },
    #[error("cannot trim below {requested}: only entries below {durable} are durable")]
    TrimAhead { requested: u64, durable: u64 },
    #[error("a flush was given up before it began, because its runtime was shut down")]
    FlushAbandoned,
    #[error("a flush panicked half-way")]
    FlushPanicked,
    #[error("the runtime was shut down while the log was working")]
    RuntimeGone,
    #[error("the executor dropped work of the log unrun (Options::executor)")]
    WorkDropped,
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (free some space first)",
        io::ErrorKind::FileTooLarge => {
            " (a file may not get as long as a segment: raise the limit, `ulimit -f`, or choose smaller \
             segments, Options::segment_bytes)"
        }
        io::ErrorKind::PermissionDenied => " (the log needs to read and write its directory)",
        _ => "",
    }
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }

    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::new(Kind::Io {
            operation,
            path: path.to_owned(),
            source,
        })
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt {
            path: path.to_owned(),
            offset,
            detail: detail.into(),
        })
    }

    pub(crate) fn displaced(path: PathBuf, detail: &'static str) -> Self {
        Self::new(Kind::Displaced { path, detail })
    }

    /// The error under wrappers that only say what became of the entry.
    fn root(&self) -> &Kind {
        match &*self.0 {
            Kind::OutcomeUnknown(cause) | Kind::NotWritten(cause) | Kind::Poisoned(cause) => {
                cause.root()
            }
            kind => kind,
        }
    }

    /// The entry or batch breaks a limit or a rule of its layout; it was refused, nothing else was
    /// disturbed.
    pub fn is_invalid_entry(&self) -> bool {
        matches!(*self.0, Kind::InvalidEntry(_))
    }

    /// The options contradict themselves or are out of range.
    pub fn is_invalid_options(&self) -> bool {
        matches!(*self.0, Kind::InvalidOptions(_))
    }

    /// Acknowledged bytes are damaged or missing. The directory was left untouched.
    pub fn is_corruption(&self) -> bool {
        matches!(*self.0, Kind::Corrupt { .. } | Kind::Missing { .. })
    }

    /// The root cause is that the log's directory, or a file in it, was removed or replaced while the log
    /// was in use. The log has stopped.
    pub fn is_displaced(&self) -> bool {
        matches!(self.root(), Kind::Displaced { .. })
    }

    /// There is no log, and the options say that none is to be created.
    pub fn is_no_log(&self) -> bool {
        matches!(*self.0, Kind::NoLog { .. })
    }

    /// Another handle or process owns the log.
    pub fn is_locked(&self) -> bool {
        matches!(*self.0, Kind::Locked { .. } | Kind::ChangesMeanwhile { .. })
    }

    /// The entry may or may not be in the log: its flush failed after the write began, and the log
    /// is poisoned.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(*self.0, Kind::OutcomeUnknown(_))
    }

    /// The entry is certainly not in the log.
    pub fn is_not_written(&self) -> bool {
        matches!(
            *self.0,
            Kind::NotWritten(_)
                | Kind::Closed
                | Kind::Overloaded
                | Kind::InvalidEntry(_)
                | Kind::Poisoned(_)
        )
    }

    /// An earlier failure has stopped the log; only reopening it helps.
    pub fn is_poisoned(&self) -> bool {
        matches!(*self.0, Kind::Poisoned(_) | Kind::OutcomeUnknown(_))
    }

    /// The log was closed before the call.
    pub fn is_closed(&self) -> bool {
        matches!(*self.0, Kind::Closed)
    }

    /// Too many appends wait already ([`Options::appends_max`](crate::Options::appends_max)).
    pub fn is_overloaded(&self) -> bool {
        matches!(*self.0, Kind::Overloaded)
    }

    /// A replay asked for entries that have been trimmed.
    pub fn is_trimmed(&self) -> bool {
        matches!(*self.0, Kind::Trimmed { .. })
    }

    /// The caller asked for the work to be given up.
    pub fn is_given_up(&self) -> bool {
        matches!(*self.0, Kind::GivenUp)
    }

    /// The entries that a replay asked for and cannot have: a log that was salvaged from a damaged one
    /// keeps the numbers of what was lost. Whoever accepts the loss replays on from the end of this
    /// range.
    pub fn lost_entries(&self) -> Option<Range<SeqNo>> {
        match *self.0 {
            Kind::Lost { first, end } => Some(first..end),
            _ => None,
        }
    }

    /// Where the damage begins that makes a log corrupt: the file and the byte in it.
    pub fn corrupt_at(&self) -> Option<(&Path, u64)> {
        match &*self.0 {
            Kind::Corrupt { path, offset, .. } => Some((path, *offset)),
            Kind::Missing { path, .. } => Some((path, 0)),
            _ => None,
        }
    }

    /// The root cause is a full disk or an exhausted quota.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.root(), Kind::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The operating system's error at the root, if there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self.root() {
            Kind::Io { source, .. } | Kind::NoUring(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Io { source, .. } | Kind::NoUring(source) => Some(source),
            Kind::OutcomeUnknown(cause) | Kind::NotWritten(cause) | Kind::Poisoned(cause) => {
                Some(cause)
            }
            _ => None,
        }
    }
}
