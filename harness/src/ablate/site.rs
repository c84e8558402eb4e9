//! The place in a store's code where a sync is asked for.

use std::fmt;

use serde::Serialize;

use crate::sim::Call;

/// A sync call site: what is asked for, and the nearest calls in the store's own code that lead to it.
///
/// Two ways to the same helper are two sites, if they part within these calls. Of a program under trace: the
/// system call, and the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SyncSite {
    /// The nearest calls, innermost first: three, if there are as many.
    #[serde(rename = "frames")]
    calls: Vec<CodePlace>,
    kind: SyncKind,
    #[serde(rename = "call", skip_serializing_if = "Option::is_none")]
    system_call: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Which sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum SyncKind {
    /// fdatasync(2) of a file.
    #[serde(rename = "fdatasync")]
    Data,
    /// fsync(2) of a file.
    #[serde(rename = "fsync")]
    All,
    /// fsync(2) of a directory.
    #[serde(rename = "fsync directory")]
    Directory,
    /// sync(2) or syncfs(2), of a program under trace.
    #[serde(rename = "everything")]
    Everything,
}

/// A line in a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CodePlace {
    /// The source file, relative to the workspace where that is possible; `None` without debug
    /// information.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// The function and its file, as `directory::sync`: release builds know no more of it. A closure or
    /// an async function that they know no name of is `directory::{closure}`.
    pub function: String,
}

impl SyncSite {
    pub(super) fn new(kind: SyncKind, calls: Vec<CodePlace>) -> Self {
        Self {
            calls,
            kind,
            system_call: None,
            file: None,
        }
    }

    /// Of a program under trace.
    pub(super) fn of_system_call(kind: SyncKind, call: String, file: String) -> Self {
        Self {
            calls: Vec::new(),
            kind,
            system_call: Some(call),
            file: Some(file),
        }
    }

    /// The system call, of a program under trace; that of a write that is a sync as well says `synchronous`.
    pub fn system_call(&self) -> Option<&str> {
        self.system_call.as_deref()
    }

    /// The file, of a program under trace: its path in the store's directory, which itself is `.`, with `N`
    /// for each run of digits.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Which sync.
    pub fn kind(&self) -> SyncKind {
        self.kind
    }

    /// The nearest calls in the store's own code, innermost first.
    pub fn calls(&self) -> &[CodePlace] {
        &self.calls
    }

    /// Whether the nearest calls are of these functions, innermost first: `["directory::sync",
    /// "directory::prepare"]`. Those further out may be any.
    pub fn is_called_by(&self, functions: &[&str]) -> bool {
        let names = self.calls.iter().map(|call| call.function.as_str());
        functions.len() <= self.calls.len() && names.zip(functions).all(|(a, b)| a == *b)
    }
}

impl SyncKind {
    /// Of a call, if it is a sync.
    pub(super) fn of(call: &Call) -> Option<Self> {
        match call {
            Call::SyncData => Some(Self::Data),
            Call::SyncAll => Some(Self::All),
            Call::SyncDir => Some(Self::Directory),
            _ => None,
        }
    }
}

impl fmt::Display for SyncKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "fdatasync",
            Self::All => "fsync",
            Self::Directory => "fsync directory",
            Self::Everything => "everything",
        })
    }
}

impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{} ({file}:{line})", self.function),
            (Some(file), None) => write!(f, "{} ({file})", self.function),
            _ => f.write_str(&self.function),
        }
    }
}

impl fmt::Display for SyncSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(call), Some(file)) = (&self.system_call, &self.file) {
            return write!(f, "{call} of {file}");
        }
        write!(f, "{} in ", self.kind)?;
        for (index, call) in self.calls.iter().enumerate() {
            let link = if index == 0 { "" } else { " < " };
            write!(f, "{link}{call}")?;
        }
        Ok(())
    }
}
