//! The collection's log: where it is, and which one it is.

use std::fmt;

use groupwal::Wal;
use serde::{Deserialize, Serialize};

/// The log's directory in that of the collection.
pub(crate) const LOG: &str = "log";

/// The identity of a log; in the manifest 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct LogId(u128);

impl LogId {
    pub(crate) fn of(wal: &Wal) -> Self {
        Self(u128::from_be_bytes(wal.log_id()))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<LogId> for String {
    fn from(id: LogId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for LogId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = u128::from_str_radix(&text, 16).map(Self);
        let id = id.ok().filter(|id| id.to_string() == text);
        id.ok_or("a log's id is 32 hexadecimal digits")
    }
}
