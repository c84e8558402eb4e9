//! One entry: what an append makes durable. Pure: bytes in, bytes out.
//!
//! # Layout
//!
//! All integers are little-endian. In a frame, each entry stands behind one byte that tells its
//! kind:
//!
//! ```text
//! kind  body
//! 0x01  documents: the layout of the article's database, byte for byte
//! 0x02  opaque bytes
//!
//! documents  u32 len | u64 n_docs | u64 n_users | n_docs x u128 | n_users x u128 | f32... | u8 op
//! opaque     u32 len | len bytes
//! ```
//!
//! `len` does not count its own four bytes. `op` is 0 for an insert, 1 for a delete; a delete
//! carries no vector data. Document ids come before user ids, as MuopDB writes them. These
//! layouts are frozen.
//!
//! Decoding borrows from its input, never panics and allocates nothing.

use crate::error::{Error, Kind, Result};

/// Kind byte of [`Documents`]. Frozen.
const KIND_DOCUMENTS: u8 = 0x01;
/// Kind byte of opaque bytes. Frozen.
const KIND_BYTES: u8 = 0x02;
/// Kind byte and length field: what every entry costs beyond its body.
pub(crate) const PREFIX_BYTES: usize = 1 + 4;
/// `n_docs`, `n_users` and `op`: the fixed part of a documents body.
const DOCUMENTS_FIXED_BYTES: usize = 8 + 8 + 1;

const OP_INSERT: u8 = 0;
const OP_DELETE: u8 = 1;

/// What can be appended: [`Insert`], [`Delete`], or any bytes (`[u8]`, `Vec<u8>`, `str`, ...).
///
/// The trait is sealed: recovery must be able to decode whatever a log accepted, for ever, so the
/// kinds of entry are the log's to define. Bring your own serialization as bytes.
pub trait Encode: sealed::Sealed {}

pub(crate) mod sealed {
    use super::Result;

    pub trait Sealed {
        /// Length of the body in bytes, the length field not counted.
        ///
        /// # Errors
        /// If the parts do not fit each other; see [`Encode`](super::Encode).
        fn body_len(&self) -> Result<usize>;

        /// Writes kind, length and body into `out`, which is [`super::PREFIX_BYTES`] + `body_len`
        /// long.
        fn encode(&self, out: &mut [u8]);
    }
}
use sealed::Sealed;

/// Documents with their vectors, visible to some users.
///
/// `vectors` holds one vector after another; its length must be a multiple of the number of
/// documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Insert<'a> {
    /// Ids of the documents.
    pub doc_ids: &'a [u128],
    /// Ids of the users who may see them.
    pub user_ids: &'a [u128],
    /// The vectors, one after another in the order of `doc_ids`.
    pub vectors: &'a [f32],
}

/// Documents to be removed for some users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Ids of the documents.
    pub doc_ids: &'a [u128],
    /// Ids of the users for whom they are removed.
    pub user_ids: &'a [u128],
}

/// What a [`Documents`] entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The documents are inserted.
    Insert,
    /// The documents are deleted.
    Delete,
}

/// A decoded entry, borrowed from the log's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// An [`Insert`] or a [`Delete`].
    Documents(Documents<'a>),
    /// Opaque bytes.
    Bytes(&'a [u8]),
}

/// A decoded [`Insert`] or [`Delete`].
///
/// The log's bytes have no alignment, so ids and floats are read one by one; floats keep their bit
/// pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documents<'a> {
    op: Op,
    doc_ids: &'a [[u8; 16]],
    user_ids: &'a [[u8; 16]],
    vectors: &'a [[u8; 4]],
}

impl<'a> Documents<'a> {
    /// Insert or delete.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Document ids, in the order in which they were appended.
    pub fn doc_ids(&self) -> impl ExactSizeIterator<Item = u128> + 'a {
        self.doc_ids.iter().map(|id| u128::from_le_bytes(*id))
    }

    /// User ids, in the order in which they were appended.
    pub fn user_ids(&self) -> impl ExactSizeIterator<Item = u128> + 'a {
        self.user_ids.iter().map(|id| u128::from_le_bytes(*id))
    }

    /// Vector data of all documents, one after another.
    pub fn vectors(&self) -> impl ExactSizeIterator<Item = f32> + 'a {
        self.vectors.iter().map(|float| f32::from_le_bytes(*float))
    }

    /// Decodes the bytes after the length field.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let documents = Self::split(body)?;
        match documents.vectors_misfit() {
            None => Ok(documents),
            Some(_) => Err(DecodeError::VectorsMisfit),
        }
    }

    /// Takes the bytes after the length field apart.
    fn split(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (n_docs, rest) = take_u64(body)?;
        let (n_users, rest) = take_u64(rest)?;
        let (&op, rest) = rest.split_last().ok_or(DecodeError::Truncated)?;
        let (doc_ids, rest) = take_ids(rest, n_docs)?;
        let (user_ids, rest) = take_ids(rest, n_users)?;
        let (vectors, tail) = rest.as_chunks();
        let documents = match op {
            OP_INSERT => Self {
                op: Op::Insert,
                doc_ids,
                user_ids,
                vectors,
            },
            OP_DELETE => Self {
                op: Op::Delete,
                doc_ids,
                user_ids,
                vectors,
            },
            _ => return Err(DecodeError::UnknownOp(op)),
        };
        if tail.is_empty() {
            Ok(documents)
        } else {
            Err(DecodeError::VectorsMisfit)
        }
    }

    fn vectors_misfit(&self) -> Option<String> {
        vectors_misfit(self.op, self.doc_ids.len(), self.vectors.len())
    }
}

/// Says why `floats` numbers cannot be the vectors of `docs` documents, if they cannot.
fn vectors_misfit(op: Op, docs: usize, floats: usize) -> Option<String> {
    let fits = match op {
        Op::Delete => floats == 0,
        // Without documents only zero is a multiple.
        Op::Insert => floats.is_multiple_of(docs),
    };
    (!fits).then(|| {
        format!(
            "{floats} floats cannot be the vectors of {docs} documents: \
             the vector length must be a multiple of the number of documents"
        )
    })
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the entry does.
    #[error("the entry is cut short")]
    Truncated,
    /// The kind byte is none of the known ones.
    #[error("unknown entry kind {0:#04x}")]
    UnknownKind(u8),
    /// The operation byte is none of the known ones.
    #[error("unknown operation {0:#04x}")]
    UnknownOp(u8),
    /// The vector data does not fit the number of documents.
    #[error("the vector data does not fit the documents")]
    VectorsMisfit,
}

/// Decodes the entry at the start of `bytes`, kind byte first, and returns it with what follows.
///
/// # Errors
/// If `bytes` does not start with a whole, well-formed entry. Nothing is allocated whatever the
/// lengths say.
pub fn decode(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), DecodeError> {
    decode_with(bytes, Documents::decode)
}

/// [`decode`] for bytes that it has accepted before: what costs a division is not checked again.
#[inline]
pub(crate) fn decode_again(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), DecodeError> {
    decode_with(bytes, Documents::split)
}

#[inline]
fn decode_with<'a>(
    bytes: &'a [u8],
    documents: impl FnOnce(&'a [u8]) -> Result<Documents<'a>, DecodeError>,
) -> Result<(Entry<'a>, &'a [u8]), DecodeError> {
    let (&kind, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    let (len, rest) = rest
        .split_first_chunk::<4>()
        .ok_or(DecodeError::Truncated)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| DecodeError::Truncated)?;
    let (body, rest) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    let entry = match kind {
        KIND_DOCUMENTS => Entry::Documents(documents(body)?),
        KIND_BYTES => Entry::Bytes(body),
        _ => return Err(DecodeError::UnknownKind(kind)),
    };
    Ok((entry, rest))
}

fn take_u64(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let (value, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or(DecodeError::Truncated)?;
    Ok((u64::from_le_bytes(*value), rest))
}

fn take_ids(bytes: &[u8], count: u64) -> Result<(&[[u8; 16]], &[u8]), DecodeError> {
    let len = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(16));
    let (ids, rest) = len
        .and_then(|len| bytes.split_at_checked(len))
        .ok_or(DecodeError::Truncated)?;
    Ok((ids.as_chunks().0, rest))
}

/// Body length of a documents entry, refusing parts that do not fit each other.
fn documents_len(op: Op, docs: usize, users: usize, floats: usize) -> Result<usize> {
    if let Some(misfit) = vectors_misfit(op, docs, floats) {
        return Err(Error::new(Kind::InvalidEntry(misfit)));
    }
    // Slices in memory are at most isize::MAX bytes each; their sum may still exceed usize.
    [16 * docs, 16 * users, 4 * floats]
        .iter()
        .try_fold(DOCUMENTS_FIXED_BYTES, |sum, part| sum.checked_add(*part))
        .ok_or_else(|| {
            Error::new(Kind::InvalidEntry(
                "its parts overflow the address space".into(),
            ))
        })
}

/// Checks an entry and its size against `entry_bytes_max`, and returns what it takes in a frame, in
/// bytes.
///
/// # Errors
/// If its parts do not fit each other or its body is larger than the limit.
pub(crate) fn checked_len<E: Sealed + ?Sized>(entry: &E, entry_bytes_max: usize) -> Result<usize> {
    let len = entry.body_len()?;
    if len > entry_bytes_max {
        let message = format!(
            "it is {len} bytes long, the limit is {entry_bytes_max} (Options::entry_bytes_max)"
        );
        return Err(Error::new(Kind::InvalidEntry(message)));
    }
    Ok(PREFIX_BYTES + len)
}

/// Writes kind and length, and hands the body to `fill`.
fn encode_with(kind: u8, out: &mut [u8], fill: impl FnOnce(&mut [u8])) {
    let (prefix, body) = out.split_at_mut(PREFIX_BYTES);
    let len = u32::try_from(body.len()).expect("an entry's size is checked against a u32 limit");
    prefix[0] = kind;
    prefix[1..].copy_from_slice(&len.to_le_bytes());
    fill(body);
}

/// Fills a documents body from its parts, each given as an iterator of little-endian bytes.
fn encode_documents(
    op: Op,
    doc_ids: impl ExactSizeIterator<Item = [u8; 16]>,
    user_ids: impl ExactSizeIterator<Item = [u8; 16]>,
    vectors: impl ExactSizeIterator<Item = [u8; 4]>,
    out: &mut [u8],
) {
    encode_with(KIND_DOCUMENTS, out, |body| {
        let (counts, rest) = body.split_at_mut(16);
        counts[..8].copy_from_slice(&(doc_ids.len() as u64).to_le_bytes());
        counts[8..].copy_from_slice(&(user_ids.len() as u64).to_le_bytes());
        let (docs, rest) = rest.split_at_mut(16 * doc_ids.len());
        let (users, rest) = rest.split_at_mut(16 * user_ids.len());
        let (floats, rest) = rest.split_at_mut(4 * vectors.len());
        docs.as_chunks_mut()
            .0
            .iter_mut()
            .zip(doc_ids)
            .for_each(|(out, id)| *out = id);
        users
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(user_ids)
            .for_each(|(out, id)| *out = id);
        floats
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(vectors)
            .for_each(|(out, float)| *out = float);
        rest[0] = match op {
            Op::Insert => OP_INSERT,
            Op::Delete => OP_DELETE,
        };
    });
}

impl Encode for Insert<'_> {}
impl Sealed for Insert<'_> {
    fn body_len(&self) -> Result<usize> {
        documents_len(
            Op::Insert,
            self.doc_ids.len(),
            self.user_ids.len(),
            self.vectors.len(),
        )
    }

    fn encode(&self, out: &mut [u8]) {
        encode_documents(
            Op::Insert,
            self.doc_ids.iter().map(|id| id.to_le_bytes()),
            self.user_ids.iter().map(|id| id.to_le_bytes()),
            self.vectors.iter().map(|float| float.to_le_bytes()),
            out,
        );
    }
}

impl Encode for Delete<'_> {}
impl Sealed for Delete<'_> {
    fn body_len(&self) -> Result<usize> {
        documents_len(Op::Delete, self.doc_ids.len(), self.user_ids.len(), 0)
    }

    fn encode(&self, out: &mut [u8]) {
        encode_documents(
            Op::Delete,
            self.doc_ids.iter().map(|id| id.to_le_bytes()),
            self.user_ids.iter().map(|id| id.to_le_bytes()),
            std::iter::empty(),
            out,
        );
    }
}

impl Encode for Documents<'_> {}
impl Sealed for Documents<'_> {
    fn body_len(&self) -> Result<usize> {
        documents_len(
            self.op,
            self.doc_ids.len(),
            self.user_ids.len(),
            self.vectors.len(),
        )
    }

    fn encode(&self, out: &mut [u8]) {
        encode_documents(
            self.op,
            self.doc_ids.iter().copied(),
            self.user_ids.iter().copied(),
            self.vectors.iter().copied(),
            out,
        );
    }
}

impl Encode for Entry<'_> {}
impl Sealed for Entry<'_> {
    fn body_len(&self) -> Result<usize> {
        match self {
            Self::Documents(documents) => documents.body_len(),
            Self::Bytes(bytes) => bytes.body_len(),
        }
    }

    fn encode(&self, out: &mut [u8]) {
        match self {
            Self::Documents(documents) => documents.encode(out),
            Self::Bytes(bytes) => bytes.encode(out),
        }
    }
}

impl Encode for [u8] {}
impl Sealed for [u8] {
    fn body_len(&self) -> Result<usize> {
        Ok(self.len())
    }

    fn encode(&self, out: &mut [u8]) {
        encode_with(KIND_BYTES, out, |body| body.copy_from_slice(self));
    }
}

/// Types that are appended as what they borrow or hold.
macro_rules! encode_as {
    ($([$($param:tt)*] $type:ty => |$this:ident| $target:expr;)*) => {$(
        impl<$($param)*> Encode for $type {}
        impl<$($param)*> Sealed for $type {
            fn body_len(&self) -> Result<usize> {
                let $this = self;
                $target.body_len()
            }

            fn encode(&self, out: &mut [u8]) {
                let $this = self;
                $target.encode(out);
            }
        }
    )*};
}

encode_as! {
    [const N: usize] [u8; N] => |this| this.as_slice();
    [] Vec<u8> => |this| this.as_slice();
    [] str => |this| this.as_bytes();
    [] String => |this| this.as_bytes();
    [T: Encode + ?Sized] &T => |this| (**this);
    [T: Encode + ?Sized] Box<T> => |this| (**this);
}
