//! Broken promises, in words.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stage::Stage;

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
    /// An entry that was never tried, or that the store had refused.
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
    /// The store said that every entry below a position is durable, and what survives ends before.
    NotDurable {
        /// What the store said.
        below: u64,
        /// Where the survivors end.
        end: u64,
    },
    /// Of two neighbours in a batch one survives without the other, or they are no neighbours.
    TornBatch {
        /// The attempt.
        id: u64,
        /// The attempt before it in the batch.
        after: u64,
    },
    /// The store said that it is closed, and recovery does not find it so.
    NotClosed,
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
        /// What was broken, in a word or two: `misplaced`.
        promise: String,
        /// Which entry, and what was expected.
        detail: String,
    },
    /// A promise of an oracle of your own that is broken by a loss: something is gone, and nothing is
    /// invented or changed. [`rot`](crate::CrashKind::Rot) excuses it if nothing left on the disk
    /// vouches for what is gone; it excuses no [`Custom`](Self::Custom).
    CustomLoss {
        /// What was broken, in a word or two: `lost`.
        promise: String,
        /// Which entry, and what was expected.
        detail: String,
    },
    /// The store did not open, crashed, hung, or stopped by itself.
    Broken {
        /// What was being done.
        stage: Stage,
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
                | Self::NotDurable { .. }
                | Self::TornBatch { .. }
                | Self::NotClosed
                | Self::WrongValue { .. }
                | Self::CustomLoss { .. }
        )
    }

    /// It is the writer that broke, not what recovery showed.
    pub(crate) fn is_writers(&self) -> bool {
        matches!(self, Self::Broken { stage, .. } if stage.is_writers())
    }

    /// The position, or the key, at which recovery shows what is wrong.
    pub(crate) fn place(&self) -> Option<u64> {
        match self {
            Self::Hole { after, .. } => Some(*after),
            Self::LostBeginning { expected, .. } => Some(*expected),
            Self::LostAck { position, .. }
            | Self::WrongAck { position, .. }
            | Self::Unshown { position, .. }
            | Self::Mangled { position }
            | Self::Phantom { position, .. }
            | Self::Resurrected { position, .. }
            | Self::Duplicate { position, .. }
            | Self::OutOfOrder { position, .. } => Some(*position),
            Self::NotDurable { end, .. } => Some(*end),
            Self::WrongValue { key, .. } => Some(*key),
            Self::TornBatch { .. }
            | Self::NotClosed
            | Self::NotIdempotent { .. }
            | Self::Custom { .. }
            | Self::CustomLoss { .. }
            | Self::Broken { .. } => None,
        }
    }

    /// What sort of failure it is, without entries, positions and other numbers: failures of one class
    /// most often have one cause, those of different classes never are the same.
    ///
    /// For a store that did not open, crashed or stopped it is the stage and the first thing that it
    /// said.
    pub fn class(&self) -> String {
        match self {
            Self::Hole { .. } => "hole".into(),
            Self::LostBeginning { .. } => "lost beginning".into(),
            Self::LostAck { .. } => "lost".into(),
            Self::WrongAck { .. } => "moved".into(),
            Self::Unshown { found: None, .. } => "taken back".into(),
            Self::Unshown { found: Some(_), .. } => "changed after it was shown".into(),
            Self::Mangled { .. } => "mangled".into(),
            Self::Phantom { .. } => "phantom".into(),
            Self::Resurrected { .. } => "resurrected".into(),
            Self::Duplicate { .. } => "duplicate".into(),
            Self::OutOfOrder { .. } => "out of order".into(),
            Self::NotDurable { .. } => "not durable".into(),
            Self::TornBatch { .. } => "torn batch".into(),
            Self::NotClosed => "not closed".into(),
            Self::WrongValue { .. } => "wrong value".into(),
            Self::NotIdempotent { .. } => "not idempotent".into(),
            Self::Custom { promise, .. } | Self::CustomLoss { promise, .. } => promise.clone(),
            Self::Broken { stage, detail } => format!("{stage}: {}", gist(detail)),
        }
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

/// The message in what a store said, without what differs from run to run: of several panics the
/// first, without its place in the source.
fn gist(detail: &str) -> String {
    const CHARS_MAX: usize = 64;
    const ASSERTION: &str = "assertion `left == right` failed: ";
    // In this process, `panicked: message`; in another one, what the panic hook printed.
    let (is_panic, message) = match detail.split_once("panicked at ") {
        Some((_, place)) => (true, place.split_once('\n').map_or(place, |(_, rest)| rest)),
        None => match detail.split_once("panicked: ") {
            Some((_, message)) => (true, message),
            // Another process: its exit status comes first.
            None => match detail.strip_prefix("exit status") {
                Some(rest) => {
                    let status = |c: char| c.is_ascii_digit() || c == ':' || c == ' ';
                    (false, rest.trim_start_matches(status))
                }
                None => (false, detail),
            },
        },
    };
    let line = message.trim().lines().next().unwrap_or("").trim();
    let line = line.strip_prefix(ASSERTION).unwrap_or(line);
    let mut gist = String::from(if is_panic { "panic: " } else { "" });
    let mut in_number = false;
    let mut chars = 0;
    for c in line.chars() {
        if !c.is_ascii_digit() {
            gist.push(c);
            chars += 1;
        } else if !in_number {
            gist.push('N');
            chars += 1;
        }
        in_number = c.is_ascii_digit();
        // Counted in what is kept: a longer number must not make another class.
        if chars == CHARS_MAX {
            break;
        }
    }
    gist
}

/// The value of a key, in words.
fn value(id: Option<u64>) -> String {
    match id {
        Some(id) => format!("value {id:#x}"),
        None => "nothing".to_owned(),
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
            Self::LostAck { id, position } => write!(
                f,
                "lost: entry {id:#x} was acknowledged at position {position} and is gone"
            ),
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
            Self::Mangled { position } => write!(
                f,
                "mangled: the entry at position {position} is not what was written"
            ),
            Self::Phantom { id, position } => write!(
                f,
                "phantom: entry {id:#x} at position {position} was never tried, or had been refused"
            ),
            Self::Resurrected { id, position } => write!(
                f,
                "resurrected: entry {id:#x} at position {position} had been cut by an earlier recovery"
            ),
            Self::Duplicate { id, position } => write!(
                f,
                "duplicate: entry {id:#x} stands at position {position} a second time"
            ),
            Self::OutOfOrder {
                id,
                position,
                after,
            } => write!(
                f,
                "out of order: entry {id:#x} at position {position} was tried after position {after} \
                 had been acknowledged"
            ),
            Self::NotDurable { below, end } => write!(
                f,
                "not durable: the store said that every entry below position {below} was durable, and what \
                 survives ends before position {end}"
            ),
            Self::TornBatch { id, after } => write!(
                f,
                "torn batch: entries {after:#x} and {id:#x} were appended in one batch, one behind the other, \
                 and do not stand so"
            ),
            Self::NotClosed => f.write_str(
                "not closed: the store said that it was closed, and recovery finds that it was not",
            ),
            Self::WrongValue {
                key,
                expected,
                found,
            } => {
                let (expected, found) = (value(*expected), value(*found));
                write!(
                    f,
                    "wrong value: key {key:#x} must hold {expected} or a later one, and holds {found}"
                )
            }
            Self::NotIdempotent { detail } => write!(
                f,
                "not idempotent: recovering again gave something else: {detail}"
            ),
            Self::Custom { promise, detail } | Self::CustomLoss { promise, detail } => {
                write!(f, "{promise}: {detail}")
            }
            Self::Broken { stage, detail } => write!(f, "broken: {stage}: {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(stage: Stage, detail: &str) -> String {
        let detail = detail.into();
        Violation::Broken { stage, detail }.class()
    }

    #[test]
    fn a_class_says_what_broke_and_leaves_out_what_differs_from_run_to_run() {
        let lost = |position| Violation::LostAck { id: 7, position }.class();
        assert_eq!(lost(1), lost(2));
        assert_ne!(lost(1), Violation::Phantom { id: 7, position: 1 }.class());

        // The same panic, in this process and in another one.
        let here = class(
            Stage::RecoveryFailed,
            "panicked: index 12 out of range for 4 bytes",
        );
        let there = "exit status: 101: \nthread 'main' (4711) panicked at src/a.rs:1:2:\n\
                     index 9 out of range for 10 bytes\nnote: run with `RUST_BACKTRACE=1`\n\
                     \nthread 'x' panicked at src/a.rs:9:9:\nanother";
        assert_eq!(here, class(Stage::RecoveryFailed, there));
        assert_eq!(
            here,
            "recovery failed: panic: index N out of range for N bytes"
        );
        assert_ne!(here, class(Stage::WriterFailed, there));

        // However long the numbers are, it is cut at the same place.
        let long = |number: &str| {
            class(
                Stage::StoreHangs,
                &format!("panicked: {number} {}", "x".repeat(100)),
            )
        };
        assert_eq!(long("1"), long("18446744073709551615"));

        // The same error, returned here and printed there.
        let error = class(Stage::RecoveryFailed, "failed to fill whole buffer");
        for printed in ["exit status: 1: ", "exit status 1: "] {
            let printed = format!("{printed}failed to fill whole buffer");
            assert_eq!(error, class(Stage::RecoveryFailed, &printed));
        }
    }
}
