//! Broken promises, in words.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A promise that was broken. Its Display says which entry, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Violation {
    /// Survivors are not one run of consecutive positions.
    Hole {
        /// The position after which something is missing, doubled or out of order.
        after: u64,
        /// The position found instead of the next one.
        found: u64,
    },
    /// The first survivor lies above what was trimmed.
    LostBeginning {
        /// The lowest position that must survive.
        expected: u64,
        /// The first position found.
        found: u64,
    },
    /// An acknowledged entry is gone.
    LostAck {
        /// The attempt.
        id: u64,
        /// Where it was acknowledged.
        position: u64,
    },
    /// An acknowledged position holds another entry.
    WrongAck {
        /// The attempt.
        id: u64,
        /// Where it was acknowledged.
        position: u64,
        /// What stands there.
        found: u64,
    },
    /// An entry that a reader or an earlier recovery had been shown is gone or has become another
    /// one.
    Unshown {
        /// The attempt.
        id: u64,
        /// Where it was shown.
        position: u64,
        /// What stands there now.
        found: Option<u64>,
    },
    /// An entry's bytes are not those that were written.
    Mangled {
        /// Its position.
        position: u64,
    },
    /// An entry that nobody tried to append, or that the store had refused.
    Phantom {
        /// The id that its payload begins with.
        id: u64,
        /// Its position.
        position: u64,
    },
    /// An entry that an earlier recovery had not shown came back.
    Resurrected {
        /// The attempt.
        id: u64,
        /// Its position.
        position: u64,
    },
    /// One attempt, two entries.
    Duplicate {
        /// The attempt.
        id: u64,
        /// The second position.
        position: u64,
    },
    /// An entry stands before one that had been acknowledged before it was tried.
    OutOfOrder {
        /// The attempt.
        id: u64,
        /// Its position.
        position: u64,
        /// It began after this position had been acknowledged.
        after: u64,
    },
    /// A key holds neither its last acknowledged value nor that of a later attempt.
    WrongValue {
        /// The key.
        key: u64,
        /// The id of the acknowledged value; `None` if the key must be absent.
        expected: Option<u64>,
        /// The id of the value found.
        found: Option<u64>,
    },
    /// Recovering a second time gave something else.
    NotIdempotent {
        /// What differs.
        detail: String,
    },
    /// A promise of an oracle of your own.
    Custom {
        /// What was broken, in a word or two: `lost`.
        promise: String,
        /// Which entry, and what was expected.
        detail: String,
    },
    /// The store did not open, crashed, hung, or stopped by itself.
    Broken {
        /// What was being done.
        stage: String,
        /// What it said.
        detail: String,
    },
}

impl Violation {
    /// Something is gone, or is what it was before; nothing is invented or changed.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::LostAck { .. }
                | Self::LostBeginning { .. }
                | Self::Unshown { found: None, .. }
                | Self::WrongValue { .. }
        )
    }

    /// A store's own words name files in directories that are gone when they are read: without them
    /// the words are the same in every run.
    pub(crate) fn without_dir(self, dir: &Path) -> Self {
        match self {
            Self::Broken { stage, detail } => {
                let detail = detail.replace(&format!("{}/", dir.display()), "");
                Self::Broken { stage, detail }
            }
            other => other,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { after, found } => {
                write!(f, "hole: after position {after} comes position {found}")
            }
            Self::LostBeginning { expected, found } => write!(
                f,
                "lost: the log begins at position {found}, though everything from {expected} on must survive"
            ),
            Self::LostAck { id, position } => {
                write!(
                    f,
                    "lost: entry {id:#x} was acknowledged at position {position} and is gone"
                )
            }
            Self::WrongAck {
                id,
                position,
                found,
            } => write!(
                f,
                "moved: entry {id:#x} was acknowledged at position {position}, where entry {found:#x} stands"
            ),
            Self::Unshown {
                id,
                position,
                found: None,
            } => {
                write!(
                    f,
                    "taken back: entry {id:#x} was shown at position {position} and is gone"
                )
            }
            Self::Unshown {
                id,
                position,
                found: Some(found),
            } => write!(
                f,
                "taken back: entry {id:#x} was shown at position {position}, where entry {found:#x} stands"
            ),
            Self::Mangled { position } => {
                write!(
                    f,
                    "mangled: the entry at position {position} is not what was written"
                )
            }
            Self::Phantom { id, position } => write!(
                f,
                "phantom: entry {id:#x} at position {position} was never tried, or had been refused"
            ),
            Self::Resurrected { id, position } => write!(
                f,
                "resurrected: entry {id:#x} at position {position} had been cut by an earlier recovery"
            ),
            Self::Duplicate { id, position } => {
                write!(
                    f,
                    "duplicate: entry {id:#x} stands at position {position} a second time"
                )
            }
            Self::OutOfOrder {
                id,
                position,
                after,
            } => write!(
                f,
                "out of order: entry {id:#x} at position {position} was tried after position {after} \
                 had been acknowledged"
            ),
            Self::WrongValue {
                key,
                expected,
                found,
            } => {
                let name = |id: &Option<u64>| match id {
                    Some(id) => format!("value {id:#x}"),
                    None => "nothing".to_owned(),
                };
                let (expected, found) = (name(expected), name(found));
                write!(
                    f,
                    "wrong value: key {key:#x} must hold {expected} or a later one, and holds {found}"
                )
            }
            Self::NotIdempotent { detail } => {
                write!(
                    f,
                    "not idempotent: recovering again gave something else: {detail}"
                )
            }
            Self::Custom { promise, detail } => write!(f, "{promise}: {detail}"),
            Self::Broken { stage, detail } => write!(f, "broken: {stage}: {detail}"),
        }
    }
}
