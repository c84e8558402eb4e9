//! Reads the files of MuopDB's own write-ahead log. Pure: bytes in, entries out.
//!
//! # Layout
//!
//! Files are called `wal.{id}`, from 0, and are one log in the order of their numbers. All integers are
//! little-endian.
//!
//! ```text
//! header   "version1" | i64 start_seq_no
//! entry    u32 len | u64 n_docs | u64 n_users | n_docs x u128 | n_users x u128 | f32... | u8 op
//! ```
//!
//! `start_seq_no` is exclusive: the first entry of the file has the number after it. A fresh log has -1, a
//! file after a rotation the number of the last entry before it. `len` does not count its own four bytes.
//! An entry has the same bytes as a [`Documents`] entry of this library, which took the layout over.
//!
//! # What a careful reader can tell
//!
//! There are no checksums, so damage shows only where an entry contradicts itself or the ones before
//! it: lengths and counts that do not fit each other, an unknown operation, vectors of another length
//! than all others in the file, a body of zeros where a crash left a file's length without its bytes.
//! **A flipped bit in an id or in a vector cannot be seen.** Where damage shows, the entry before it may
//! be hurt, too: [`Decoder::is_torn`] finds the one case that MuopDB itself brings about.
//!
//! The same magic was used in three [`Era`]s. This reader reads the article's and recognises the others
//! by their own lengths and counts. A file in which every entry fits two of them is ambiguous, and
//! [`Decoder::is_ambiguous`] says so.

use crate::entry::{DecodeError, Documents};

/// Bytes of a file header.
pub const HEADER_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"version1";
const LEN_BYTES: usize = 4;
/// Length field and counts: what has to be there before anything can be said of an entry.
const HEAD_BYTES: usize = LEN_BYTES + 16;
/// The shortest body: counts and operation.
const BODY_BYTES_MIN: u64 = 8 + 8 + 1;

/// When a file was written: the layout has changed twice under the same magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Before May 2025: the header is followed by a `u32` that counts the entries.
    BeforeMay2025,
    /// From May to December 2025, the time of the article. The era that is read.
    Article,
    /// Since December 2025: a `u32 attr_len` and as many bytes of attributes stand before the operation.
    SinceDecember2025,
}

impl std::fmt::Display for Era {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BeforeMay2025 => "before May 2025",
            Self::Article => "the article's, May to December 2025",
            Self::SinceDecember2025 => "since December 2025",
        })
    }
}

/// The number in a file's name; `None` if it is not `wal.{id}` as MuopDB writes it.
pub fn file_id(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal.")?;
    let plain = digits == "0" || !digits.starts_with('0');
    let numeric = digits.bytes().all(|byte| byte.is_ascii_digit());
    (plain && numeric).then(|| digits.parse().ok()).flatten()
}

/// The first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it begins with the magic. MuopDB itself does not look.
    pub has_magic: bool,
    /// The number before that of the file's first entry.
    pub start_seq_no: i64,
}

impl Header {
    /// Decodes a header; `None` if the bytes end before it does.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            has_magic: *magic == MAGIC,
            start_seq_no: i64::from_le_bytes(*rest.first_chunk()?),
        })
    }

    /// The number of the file's first entry; `None` if it would be negative or none that a log gets
    /// to.
    pub fn first_seq(&self) -> Option<u64> {
        u64::try_from(self.start_seq_no.checked_add(1)?).ok()
    }
}

/// The entry that `bytes` are, length field first, as [`Step::Entry`] has measured them; `None` if they are
/// none.
pub fn documents(bytes: &[u8]) -> Option<Documents<'_>> {
    Documents::decode(bytes.get(LEN_BYTES..)?).ok()
}

/// Why bytes cannot be the entry that should stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends before the entry does.
    #[error("the file ends in the middle of an entry: {left} of at least {needed} bytes are there")]
    CutShort {
        /// Bytes left in the file.
        left: u64,
        /// Bytes that the entry takes, as far as it says.
        needed: u64,
    },
    /// Length and counts contradict each other.
    #[error("an entry cannot be {len} bytes long with {docs} documents and {users} users")]
    Misfit {
        /// The length field.
        len: u32,
        /// Number of documents.
        docs: u64,
        /// Number of users.
        users: u64,
    },
    /// Shorter than the shortest entry.
    #[error("an entry cannot be {0} bytes long: the shortest takes 17")]
    TooShort(u32),
    /// Larger than the caller is prepared for.
    #[error("the entry is {len} bytes long, and at most {max} are taken")]
    TooLarge {
        /// The length field.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// The operation is neither an insert nor a delete.
    #[error("unknown operation {0:#04x}")]
    UnknownOp(u8),
    /// A delete with vectors, or vectors that cannot be shared out among the documents.
    #[error("its vector data does not fit its operation and its documents")]
    Vectors,
    /// All vectors of a collection have one length.
    #[error("its vectors have {found} dimensions, those before it have {expected}")]
    Dimensions {
        /// Floats a document in the file's other entries.
        expected: u64,
        /// Floats a document in this one.
        found: u64,
    },
    /// Ids, vectors and operation are zeros: the same id more than once, or the last entry of a file
    /// that a crash left longer than what was written.
    #[error(
        "its ids and vectors are nothing but zeros: the file has its length, and not its bytes"
    )]
    Zeros,
}

/// What stands at a place in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// An entry, and the bytes it takes.
    Entry(Documents<'a>, usize),
    /// The same call with this many bytes (no more than there are left) can say more.
    NeedMore(usize),
    /// The file ends here, behind a whole entry or the header.
    End,
    /// Not an entry. What follows cannot be found, so reading ends here.
    Damaged(Damage),
    /// The file is of another era.
    OtherEra(Era),
}

/// Reads the entries of one file, one after another. Remembers of the earlier ones what they say
/// about the next.
#[derive(Clone, Debug)]
pub struct Decoder {
    entry_bytes_max: u32,
    entries: u64,
    /// Floats a document.
    dimensions: Option<u64>,
    /// Every entry so far would be one in the era since December 2025.
    fits_december: bool,
}

/// The numbers at the beginning of an entry.
#[derive(Clone, Copy)]
struct Head {
    len: u32,
    docs: u64,
    users: u64,
}

impl Decoder {
    /// A decoder for the entries behind a file's header. `entry_bytes_max` bounds what
    /// [`Step::NeedMore`] asks for.
    pub fn new(entry_bytes_max: u32) -> Self {
        Self {
            entry_bytes_max,
            entries: 0,
            dimensions: None,
            fits_december: true,
        }
    }

    /// Reads on where `bytes` begin. `left` bytes are left in the file, `bytes` among them.
    ///
    /// After an entry the next call is for what follows it.
    pub fn next<'a>(&mut self, bytes: &'a [u8], left: u64) -> Step<'a> {
        if left == 0 {
            return Step::End;
        }
        let head = match self.head(bytes, left) {
            Ok(head) => head,
            Err(step) => return self.unless_other_era(step, bytes, left),
        };
        let size = LEN_BYTES + head.len as usize;
        let Some(entry) = bytes.get(..size) else {
            return Step::NeedMore(size);
        };
        match Self::whole(head, &entry[LEN_BYTES..], left) {
            Ok(documents) => {
                let floats = documents.vectors().len() as u64;
                if floats > 0 && self.dimensions.is_none() {
                    self.dimensions = Some(floats / head.docs);
                }
                self.fits_december = self.fits_december && is_december(&entry[LEN_BYTES..]);
                self.entries += 1;
                Step::Entry(documents, size)
            }
            Err(damage) => self.unless_other_era(Step::Damaged(damage), bytes, left),
        }
    }

    /// After damage: whether the entry before it is not whole either. `last` are its bytes, `behind` what
    /// follows, of `left` bytes that are left in the file there.
    ///
    /// MuopDB appends behind what a crash or a failed write left of an entry. The lengths of the torn
    /// entry then reach into the one behind it, and both together look like one whole entry. But the
    /// one behind it still begins somewhere inside, and goes on after the end.
    pub fn is_torn(&self, last: &[u8], behind: &[u8], left: u64) -> bool {
        let known = behind.len().min(LEN_BYTES + self.entry_bytes_max as usize);
        let bytes = [last, &behind[..known]].concat();
        (1..last.len()).any(|start| {
            let left = (last.len() - start) as u64 + left;
            let Ok(head) = self.head(&bytes[start..], left) else {
                return false;
            };
            let end = start + LEN_BYTES + head.len as usize;
            let body = bytes.get(start + LEN_BYTES..end);
            end > last.len() && body.is_some_and(|body| Documents::decode(body).is_ok())
        })
    }

    /// Whether every entry so far fits the era since December 2025 as well, and there was one.
    pub fn is_ambiguous(&self) -> bool {
        self.entries > 0 && self.fits_december
    }

    /// The numbers, if they fit each other and what is left.
    fn head<'a>(&self, bytes: &[u8], left: u64) -> Result<Head, Step<'a>> {
        let damaged = |damage| Err(Step::Damaged(damage));
        let needed = left.min(HEAD_BYTES as u64);
        if (bytes.len() as u64) < needed {
            return Err(Step::NeedMore(HEAD_BYTES.min(to_usize(left))));
        }
        let Some(len) = bytes.first_chunk().map(|len| u32::from_le_bytes(*len)) else {
            let needed = HEAD_BYTES as u64 + 1;
            return damaged(Damage::CutShort { left, needed });
        };
        if u64::from(len) < BODY_BYTES_MIN {
            return damaged(Damage::TooShort(len));
        }
        let needed = LEN_BYTES as u64 + u64::from(len);
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (Some(docs), Some(users)) = (u64_at(LEN_BYTES), u64_at(LEN_BYTES + 8)) else {
            return damaged(Damage::CutShort { left, needed });
        };
        let Some(floats) = floats(len, docs, users) else {
            return damaged(Damage::Misfit { len, docs, users });
        };
        if let (Some(expected), Some(found)) = (self.dimensions, floats.checked_div(docs))
            && floats > 0
            && found != expected
        {
            return damaged(Damage::Dimensions { expected, found });
        }
        if needed > left {
            return damaged(Damage::CutShort { left, needed });
        }
        if len > self.entry_bytes_max {
            let max = self.entry_bytes_max;
            return damaged(Damage::TooLarge { len, max });
        }
        Ok(Head { len, docs, users })
    }

    fn whole(head: Head, body: &[u8], left: u64) -> Result<Documents<'_>, Damage> {
        let documents = Documents::decode(body).map_err(|error| match error {
            DecodeError::UnknownOp(op) => Damage::UnknownOp(op),
            _ => Damage::Vectors,
        })?;
        let is_last = left == (LEN_BYTES + body.len()) as u64;
        // Document 0 for user 0 may have been inserted, with a vector of zeros. Two of it have not.
        let repeated = head.docs > 1 || head.users > 1;
        if (is_last || repeated) && body[16..].iter().all(|byte| *byte == 0) {
            return Err(Damage::Zeros);
        }
        Ok(documents)
    }

    /// What `step` says, unless the entry fits another era and so did those before it.
    fn unless_other_era<'a>(&self, step: Step<'a>, bytes: &[u8], left: u64) -> Step<'a> {
        if !matches!(step, Step::Damaged(_)) {
            return step;
        }
        let needed = |at: u64| {
            let at_usize = to_usize(at);
            let len = bytes.get(at_usize..)?.first_chunk()?;
            let size = at + LEN_BYTES as u64 + u64::from(u32::from_le_bytes(*len));
            let taken = u64::from(self.entry_bytes_max) + HEAD_BYTES as u64;
            (size <= left && size <= taken).then(|| to_usize(size))
        };
        if self.fits_december
            && let Some(size) = needed(0)
        {
            match bytes.get(LEN_BYTES..size) {
                None => return Step::NeedMore(size),
                Some(body) if is_december(body) => return Step::OtherEra(Era::SinceDecember2025),
                Some(_) => {}
            }
        }
        if self.entries == 0 {
            // The count and nothing behind it: a file without entries.
            if left == 4 && bytes.starts_with(&[0; 4]) {
                return Step::OtherEra(Era::BeforeMay2025);
            }
            let count = bytes
                .first_chunk()
                .map_or(0, |count| u32::from_le_bytes(*count));
            if count > 0
                && let Some(size) = needed(4)
            {
                match bytes.get(4 + LEN_BYTES..size) {
                    None => return Step::NeedMore(size),
                    Some(body) if Documents::decode(body).is_ok() => {
                        return Step::OtherEra(Era::BeforeMay2025);
                    }
                    Some(_) => {}
                }
            }
        }
        step
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The number of floats that an entry of this length has; `None` if there is none.
fn floats(len: u32, docs: u64, users: u64) -> Option<u64> {
    let ids = docs.checked_add(users)?.checked_mul(16)?;
    let rest = u64::from(len)
        .checked_sub(BODY_BYTES_MIN)?
        .checked_sub(ids)?;
    let fits = rest == 0 || (docs > 0 && (rest / 4).is_multiple_of(docs));
    (rest.is_multiple_of(4) && fits).then_some(rest / 4)
}

/// Whether `body`, the bytes after the length field, is an entry with attributes.
fn is_december(body: &[u8]) -> bool {
    let u64_at = |at: usize| Some(u64::from_le_bytes(*body.get(at..)?.first_chunk()?));
    let (Some(docs), Some(users)) = (u64_at(0), u64_at(8)) else {
        return false;
    };
    let ids = docs.checked_add(users).and_then(|ids| ids.checked_mul(16));
    let Some((&op, rest)) = ids
        .and_then(|ids| usize::try_from(ids).ok())
        .and_then(|ids| body.get(16..)?.get(ids..))
        .and_then(<[u8]>::split_last)
    else {
        return false;
    };
    // Nothing says where the vectors end but the length of the attributes, which must fit what is
    // left behind it.
    let fits = |floats: usize| match op {
        0 => floats == 0 || (docs > 0 && (floats as u64).is_multiple_of(docs)),
        1 => floats == 0,
        _ => false,
    };
    let words = rest.as_chunks::<4>().0;
    let mut places = words.iter().enumerate();
    places.any(|(floats, word)| {
        let behind = rest.len() - 4 * (floats + 1);
        u32::from_le_bytes(*word) as usize == behind && fits(floats)
    })
}
