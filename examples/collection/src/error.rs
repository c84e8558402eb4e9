//! What can go wrong, said so that the reader knows the path, the operation and the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::LogId;

/// The result of an operation on a collection.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a collection: opaque, cheap to clone, with predicates for what a caller decides on.
#[derive(Clone)]
pub struct Error(Arc<Kind>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("{0}")]
    Mismatch(String),
    #[error("there is no collection in {}: say what a new one is to be", .0.display())]
    Missing(PathBuf),
    #[error(transparent)]
    Log(groupwal::Error),
    #[error(
        "the collection's log is missing: there is none in {}. Nothing was changed. Put that directory back, \
         from where it went or from a copy. If it is lost for good, start once with `--accept-lost-log` \
         (AcceptLog::Lost): a new log begins, and operations from number {position} on, which were in the log \
         only, are lost",
        log.display()
    )]
    LogLost { log: PathBuf, position: u64 },
    #[error(
        "the collection's log cannot be used: {error}. For a collection, once all files of {} are moved away or \
         gone: start once with `--accept-lost-log` (AcceptLog::Lost), and lose what was in the log only; once a \
         salvaged log is in their place: start once with `--adopt-log` (AcceptLog::Other)",
        log.display()
    )]
    LogDamaged {
        log: PathBuf,
        error: groupwal::Error,
    },
    #[error(
        "the log in {} is not the collection's: its id is {found}, and the manifest names {known}. The \
         collection was not changed. Move that directory away and put the collection's own log in its place. \
         If that is lost for good, move the directory away and start once with `--accept-lost-log` \
         (AcceptLog::Lost); if it was made from the collection's own by `groupwal salvage`, start once with \
         `--adopt-log` (AcceptLog::Other)",
        log.display()
    )]
    OtherLog {
        log: PathBuf,
        known: LogId,
        found: LogId,
    },
    #[error(
        "{0}. A collection goes on without them when it is started once with `--adopt-log` (AcceptLog::Other)"
    )]
    LogHole(groupwal::Error),
    #[error(
        "cannot start a thread for work on files: nothing was done, and it may be tried again. The process or \
         the machine has too many threads, or too little memory. Cause: {0}"
    )]
    NoThread(String),
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} is damaged: {detail}. Nothing was changed. Restore the collection from a copy",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "flushing has stopped, because what the disk holds is no longer known; restart the server to \
         recover. Cause: {0}"
    )]
    FlushStopped(Error),
    #[error("operations are durable, but nothing more can be taken into memory: {0}")]
    Stalled(Error),
    #[error("the collection takes in no more operations: {0}")]
    Halted(Error),
    #[error("the task that takes operations in has panicked, which is a bug; restart the server")]
    Panicked,
    #[error("the collection is closed")]
    Closed,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }

    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(Kind::Invalid { field, reason })
    }

    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::new(Kind::Io {
            operation,
            path: path.to_owned(),
            source,
        })
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt {
            path: path.to_owned(),
            detail: detail.into(),
        })
    }

    /// The error under wrappers that say what it stopped.
    fn root(&self) -> &Kind {
        match &*self.0 {
            Kind::FlushStopped(cause) | Kind::Stalled(cause) | Kind::Halted(cause) => cause.root(),
            kind => kind,
        }
    }

    /// The request's field that breaks a rule. Nothing was logged.
    pub fn invalid_field(&self) -> Option<&'static str> {
        match &*self.0 {
            Kind::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The disk is full: what was asked for has not taken place, and can be repeated when there is room.
    pub fn is_disk_full(&self) -> bool {
        match self.root() {
            // A log that a full disk has poisoned is worse than full.
            Kind::Log(error) => error.is_disk_full() && !error.is_poisoned(),
            Kind::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Too much is in progress, or there are too many threads; try again later.
    pub fn is_overloaded(&self) -> bool {
        match &*self.0 {
            Kind::Log(error) => error.is_overloaded(),
            Kind::NoThread(_) => true,
            _ => false,
        }
    }

    /// The operation may or may not have become durable.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(&*self.0, Kind::Log(error) if error.is_outcome_unknown())
    }

    /// Only a restart helps; what is in memory and in segment files can still be searched.
    pub fn is_unavailable(&self) -> bool {
        match &*self.0 {
            Kind::Closed | Kind::FlushStopped(_) | Kind::Halted(_) => true,
            Kind::Log(error) => error.is_poisoned() || error.is_closed(),
            Kind::Stalled(cause) => cause.is_unavailable(),
            _ => false,
        }
    }

    /// Nothing more is taken in for now, because memory is full and cannot be flushed; that is tried again
    /// and again.
    pub fn is_stalled(&self) -> bool {
        matches!(&*self.0, Kind::Stalled(_))
    }

    /// Bytes on the disk are not what was written.
    pub fn is_corruption(&self) -> bool {
        match self.root() {
            Kind::Corrupt { .. } | Kind::LogDamaged { .. } => true,
            Kind::Log(error) => error.is_corruption(),
            _ => false,
        }
    }

    /// The collection's log is missing, or another log is in its place ([`AcceptLog`](crate::AcceptLog)).
    pub fn is_log_lost(&self) -> bool {
        matches!(&*self.0, Kind::LogLost { .. } | Kind::OtherLog { .. })
    }

    /// A file could not be made, because another one has its name.
    pub(crate) fn is_name_taken(&self) -> bool {
        matches!(self.root(), Kind::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// There is no collection, and nothing was said of what a new one is to be.
    pub fn is_missing(&self) -> bool {
        matches!(&*self.0, Kind::Missing(_))
    }

    /// The directory belongs to another process or handle.
    pub fn is_locked(&self) -> bool {
        matches!(&*self.0, Kind::Log(error) if error.is_locked())
    }
}

impl From<groupwal::Error> for Error {
    fn from(error: groupwal::Error) -> Self {
        Self::new(Kind::Log(error))
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
            Kind::Log(error) => std::error::Error::source(error),
            Kind::Io { source, .. } => Some(source),
            Kind::FlushStopped(cause) | Kind::Stalled(cause) | Kind::Halted(cause) => Some(cause),
            _ => None,
        }
    }
}
