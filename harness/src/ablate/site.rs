//! The place in a store's code where a sync is asked for.

use std::fmt;

use serde::Serialize;

use crate::sim::Call;

/// A sync call site: what is asked for, and the nearest calls in the store's own code that lead to it.
///
/// Two ways to the same helper are two sites, if they part within these calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SyncSite {
    /// The nearest calls, innermost first: three, if there are as many.
    #[serde(rename = "frames")]
    calls: Vec<CodePlace>,
    kind: SyncKind,
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
        Self { calls, kind }
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
        write!(f, "{} in ", self.kind)?;
        for (index, call) in self.calls.iter().enumerate() {
            let link = if index == 0 { "" } else { " < " };
            write!(f, "{link}{call}")?;
        }
        Ok(())
    }
}
