//! How a store dies: one file a crash kind.

pub(crate) mod kill;

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
}

impl CrashKind {
    /// All kinds.
    pub const ALL: [Self; 1] = [Self::Kill];

    /// What it does, finds, and cannot find.
    pub fn description(self) -> &'static str {
        match self {
            Self::Kill => {
                "SIGKILL at a random instant, many generations on one directory; finds torn user-space state, \
                 wrong acks, bad recovery, locks left behind; cannot find a missing fsync (the page cache survives)"
            }
        }
    }
}

impl fmt::Display for CrashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
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
