//! What a writer can announce.

use serde::{Deserialize, Serialize};

/// Something that a writer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An append, or a put into a key-value store, is about to begin. Without an end it is
    /// *indeterminate*: it may or may not survive.
    Attempt {
        /// Names the attempt.
        id: u64,
        /// The key, in a key-value store; 0 in a log.
        key: u64,
    },
    /// A delete from a key-value store is about to begin.
    AttemptDelete {
        /// Names the attempt.
        id: u64,
        /// The key.
        key: u64,
    },
    /// The store said that the entry is durable.
    Ack {
        /// The attempt.
        id: u64,
        /// Where the store says it is; the key, in a key-value store.
        position: u64,
    },
    /// The store refused the entry: it must never appear.
    Refused {
        /// The attempt.
        id: u64,
    },
    /// The store failed, the outcome is unknown: the entry may or may not survive.
    Failed {
        /// The attempt.
        id: u64,
    },
    /// Entries below the position may be gone from now on.
    TrimBegin {
        /// The first position that must survive.
        below: u64,
    },
    /// The store said that the trim is done.
    TrimEnd {
        /// The first position that must survive.
        below: u64,
    },
    /// The attempt belongs to one batch with another one, and stands right behind it: both survive, or
    /// neither.
    Together {
        /// The attempt.
        id: u64,
        /// The attempt before it in the batch.
        after: u64,
    },
    /// The store said that every entry below the position is durable.
    Durable {
        /// The first position of which that was not said.
        below: u64,
    },
    /// The store said that it is closed: until the next attempt or trim, recovery finds it so.
    Closed,
    /// A reader of the running store was shown the entry: it may not be lost any more.
    Shown {
        /// The attempt.
        id: u64,
        /// Where it was.
        position: u64,
    },
}

/// Stands for the position of an acknowledgement that gave none. Known in this file only: what is
/// saved of a run has had it from the beginning.
const NO_POSITION: u64 = u64::MAX;

impl Event {
    /// An acknowledgement, by a writer that need not know where an entry is.
    pub(crate) fn acked(id: u64, position: Option<u64>) -> Self {
        Self::Ack {
            id,
            position: position.unwrap_or(NO_POSITION),
        }
    }

    /// Of an acknowledgement: the entry, and where the store said that it is, if it said so.
    pub(crate) fn ack(self) -> Option<(u64, Option<u64>)> {
        match self {
            Self::Ack { id, position } => Some((id, (position != NO_POSITION).then_some(position))),
            _ => None,
        }
    }

    /// Whether it says that something may happen from now on, not that something has happened.
    pub(crate) fn is_beginning(self) -> bool {
        match self {
            Self::Attempt { .. }
            | Self::AttemptDelete { .. }
            | Self::TrimBegin { .. }
            | Self::Together { .. } => true,
            Self::Ack { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::TrimEnd { .. }
            | Self::Durable { .. }
            | Self::Closed
            | Self::Shown { .. } => false,
        }
    }

    pub(super) fn encode(self) -> [u64; 3] {
        match self {
            Self::Attempt { id, key } => [1, id, key],
            Self::Ack { id, position } => [2, id, position],
            Self::Refused { id } => [3, id, 0],
            Self::Failed { id } => [4, id, 0],
            Self::TrimBegin { below } => [5, 0, below],
            Self::TrimEnd { below } => [6, 0, below],
            Self::Shown { id, position } => [7, id, position],
            Self::AttemptDelete { id, key } => [8, id, key],
            Self::Together { id, after } => [9, id, after],
            Self::Durable { below } => [10, 0, below],
            Self::Closed => [11, 0, 0],
        }
    }

    pub(super) fn decode([kind, id, value]: [u64; 3]) -> Option<Self> {
        Some(match kind {
            1 => Self::Attempt { id, key: value },
            2 => Self::Ack {
                id,
                position: value,
            },
            3 => Self::Refused { id },
            4 => Self::Failed { id },
            5 => Self::TrimBegin { below: value },
            6 => Self::TrimEnd { below: value },
            7 => Self::Shown {
                id,
                position: value,
            },
            8 => Self::AttemptDelete { id, key: value },
            9 => Self::Together { id, after: value },
            10 => Self::Durable { below: value },
            11 => Self::Closed,
            _ => return None,
        })
    }
}
