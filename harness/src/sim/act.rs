//! What was done to a directory, as a file system that follows it does it again.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::change::Setting;
use crate::tree::{Kind, Metadata};

/// One change of a directory, or a sync. Paths begin at the directory; the directory itself is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    Create {
        path: String,
        kind: Kind,
        metadata: Metadata,
    },
    Link {
        from: String,
        to: String,
    },
    /// Over whatever has the name.
    Rename {
        from: String,
        to: String,
    },
    /// A file or a directory from elsewhere, over whatever has the name: all of it at once.
    Arrive {
        path: String,
        /// What it is, and what is durable of it. In these, its name is [`Act::ARRIVING`].
        durable: Vec<Act>,
        /// What was done to it since.
        pending: Vec<Act>,
    },
    /// Two names change places.
    Exchange {
        one: String,
        two: String,
    },
    /// Of a directory only if it is empty.
    Remove {
        path: String,
    },
    Write {
        path: String,
        offset: u64,
        bytes: Bytes,
    },
    SetLen {
        path: String,
        len: u64,
    },
    /// Zeros over a range, up to the end of the file at most.
    Punch {
        path: String,
        offset: u64,
        len: u64,
    },
    Set {
        path: String,
        setting: Setting,
    },
    /// Of a file or a directory.
    Sync {
        path: String,
        /// fdatasync.
        data_only: bool,
    },
    /// Of everything, as sync and syncfs do it.
    SyncEverything,
    /// A sync that could not write. Of a file, what was pending is clean from then on, and never written; of a
    /// directory, the names stay pending.
    SyncFailed {
        path: String,
        data_only: bool,
        /// How, in words.
        told: String,
        /// What of it is on the disk nevertheless derives from it.
        chance: u64,
    },
    /// A call that was answered with an error, or cut short. It changes nothing by itself.
    Answered {
        told: String,
    },
}

impl Act {
    /// A name for what it does.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create {
                kind: Kind::Dir, ..
            } => "mkdir",
            Self::Create { .. } => "create",
            Self::Link { .. } => "link",
            Self::Rename { .. } => "rename",
            Self::Arrive { .. } => "rename from elsewhere",
            Self::Exchange { .. } => "exchange",
            Self::Remove { .. } => "unlink",
            Self::Write { .. } => "write",
            Self::SetLen { .. } => "truncate",
            Self::Punch { .. } => "punch hole",
            Self::Set { .. } => "set",
            Self::Sync {
                data_only: true, ..
            }
            | Self::SyncFailed {
                data_only: true, ..
            } => "fdatasync",
            Self::Sync { .. } | Self::SyncFailed { .. } => "fsync",
            Self::SyncEverything => "sync",
            Self::Answered { .. } => "error",
        }
    }

    /// The file or directory that it is done to; of two names, the first.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Self::Create { path, .. }
            | Self::Arrive { path, .. }
            | Self::Remove { path }
            | Self::Write { path, .. }
            | Self::SetLen { path, .. }
            | Self::Punch { path, .. }
            | Self::Set { path, .. }
            | Self::Sync { path, .. }
            | Self::SyncFailed { path, .. } => Some(path),
            Self::Link { from, .. } | Self::Rename { from, .. } => Some(from),
            Self::Exchange { one, .. } => Some(one),
            Self::SyncEverything | Self::Answered { .. } => None,
        }
    }

    /// The name of what arrives while it is made.
    pub(crate) const ARRIVING: &str = "arriving";
}

/// Bytes that are written, shared by all that hold them. In text: base 16, without the zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub(crate) struct Bytes(pub(crate) Arc<[u8]>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text {
    len: usize,
    bytes: String,
}

/// No write in a recording is longer: a length that a file claims must not be believed.
const LEN_MAX: usize = 1 << 32;

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let last = bytes.0.iter().rposition(|byte| *byte != 0);
        let told = &bytes.0[..last.map_or(0, |last| last + 1)];
        let digits = told.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.map(|digit| char::from(DIGITS[usize::from(digit)]));
        Self {
            len: bytes.0.len(),
            bytes: digits.collect(),
        }
    }
}

impl TryFrom<Text> for Bytes {
    type Error = io::Error;

    fn try_from(text: Text) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let told = text.bytes.as_bytes();
        if text.len > LEN_MAX || !told.len().is_multiple_of(2) || told.len() / 2 > text.len {
            return Err(wrong("the bytes of a write have another length"));
        }
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let mut bytes = vec![0; text.len];
        for (byte, [high, low]) in bytes.iter_mut().zip(told.as_chunks::<2>().0) {
            let value = digit(*high).zip(digit(*low));
            let value = value.map(|(high, low)| high << 4 | low);
            let value = value.and_then(|value| u8::try_from(value).ok());
            *byte = value.ok_or_else(|| wrong("the bytes of a write are not in base 16"))?;
        }
        Ok(Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_written() {
        for bytes in [&b""[..], b"\0\0", b"\x01\xff\0\x10\0\0"] {
            let bytes = Bytes(bytes.into());
            let text = serde_json::to_string(&bytes).expect("plain data");
            let read: Bytes = serde_json::from_str(&text).expect("it was written so");
            assert_eq!(read, bytes, "{text}");
        }
        for text in [
            r#"{"len":1,"bytes":"0102"}"#,
            r#"{"len":1,"bytes":"1"}"#,
            r#"{"len":1,"bytes":"xx"}"#,
            r#"{"len":18446744073709551615,"bytes":""}"#,
        ] {
            let read: Result<Bytes, _> = serde_json::from_str(text);
            assert!(read.is_err(), "{text}");
        }
    }
}
