//! The recorders by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What turns a run into a recording, where a crash kind leaves the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecorderKind {
    /// The simulated file system, in this process: for a store whose I/O goes through a seam
    /// ([`Simulated`](crate::Simulated)). The same seed gives the same run.
    Seam,
    /// ptrace: for any program, as it is.
    Trace,
    /// The simulated file system, mounted through FUSE: for any program, also one that maps files, or writes
    /// through `io_uring` or libaio.
    Mount,
}

impl RecorderKind {
    const ALL: [(Self, &str); 3] = [
        (Self::Seam, "seam"),
        (Self::Trace, "trace"),
        (Self::Mount, "mount"),
    ];
}

impl fmt::Display for RecorderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(kind, _)| kind == self);
        f.pad(name.expect("all are there").1)
    }
}

impl FromStr for RecorderKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        let found = found.map(|(kind, _)| *kind);
        found.ok_or_else(|| format!("a recorder is `seam`, `trace` or `mount`, not '{name}'"))
    }
}
