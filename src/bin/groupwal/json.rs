//! Entries as JSON, one object a line.

use std::io;

use groupwal::{Documents, Entry, Op};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::text;

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind<'a> {
    Insert {
        doc_ids: DocIds<'a>,
        user_ids: UserIds<'a>,
        vectors: Vectors<'a>,
    },
    Delete {
        doc_ids: DocIds<'a>,
        user_ids: UserIds<'a>,
    },
    Bytes {
        bytes: Hex<'a>,
    },
    Lost {
        entries: u64,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    #[serde(flatten)]
    kind: Kind<'a>,
}

/// Appends one line.
pub(crate) fn push_entry(out: &mut Vec<u8>, seq: u64, entry: &Entry<'_>) -> io::Result<()> {
    let kind = match *entry {
        Entry::Documents(documents) => match documents.op() {
            Op::Insert => Kind::Insert {
                doc_ids: DocIds(documents),
                user_ids: UserIds(documents),
                vectors: Vectors(documents),
            },
            Op::Delete => Kind::Delete {
                doc_ids: DocIds(documents),
                user_ids: UserIds(documents),
            },
        },
        Entry::Bytes(bytes) => Kind::Bytes { bytes: Hex(bytes) },
    };
    push(out, &Line { seq, kind })
}

/// Appends the line of entries that an earlier salvage could not bring back.
pub(crate) fn push_lost(out: &mut Vec<u8>, seq: u64, entries: u64) -> io::Result<()> {
    let kind = Kind::Lost { entries };
    push(out, &Line { seq, kind })
}

/// Appends any object as a line.
pub(crate) fn push(out: &mut Vec<u8>, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.push(b'\n');
    Ok(())
}

struct DocIds<'a>(Documents<'a>);
struct UserIds<'a>(Documents<'a>);
struct Vectors<'a>(Documents<'a>);
struct Hex<'a>(&'a [u8]);

impl Serialize for DocIds<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        strings(self.0.doc_ids().map(u128::to_be_bytes), to)
    }
}

impl Serialize for UserIds<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        strings(self.0.user_ids().map(u128::to_be_bytes), to)
    }
}

impl Serialize for Vectors<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        strings(
            self.0.vectors().map(|float| float.to_bits().to_be_bytes()),
            to,
        )
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut out = Vec::new();
        text::push_hex(&mut out, self.0);
        to.serialize_str(digits(&out))
    }
}

/// A list of numbers of N bytes, each as a string of its digits.
fn strings<const N: usize, S: Serializer>(
    items: impl ExactSizeIterator<Item = [u8; N]>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(items.len()))?;
    let bytes: Vec<[u8; N]> = items.collect();
    // All digits at once: one by one they take longer than everything else.
    let mut all = Vec::new();
    text::push_hex(&mut all, bytes.as_flattened());
    for item in all.chunks_exact(2 * N) {
        list.serialize_element(digits(item))?;
    }
    list.end()
}

fn digits(ascii: &[u8]) -> &str {
    std::str::from_utf8(ascii).expect("hexadecimal digits")
}
