//! Documents with their vectors: what is inserted and deleted, and its layout. Pure.

use super::encode::{Encode, encode_with, sealed::Sealed};
use super::refusal::DecodeError;
use crate::error::{Error, Kind, Result};

/// Kind byte of [`Documents`]. Frozen.
pub(super) const KIND_DOCUMENTS: u8 = 0x01;
/// `n_docs`, `n_users` and `op`: the fixed part of a documents body.
const DOCUMENTS_FIXED_BYTES: usize = 8 + 8 + 1;

const OP_INSERT: u8 = 0;
const OP_DELETE: u8 = 1;

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
    pub(super) fn split(body: &'a [u8]) -> Result<Self, DecodeError> {
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

/// Fills a documents body from its parts, each given as an iterator of little-endian bytes.
fn encode_documents(
    op: Op,
    doc_ids: impl ExactSizeIterator<Item = [u8; 16]>,
    user_ids: impl ExactSizeIterator<Item = [u8; 16]>,
    vectors: impl ExactSizeIterator<Item = [u8; 4]>,
    out: &mut [u8],
) -> usize {
    let body_len =
        DOCUMENTS_FIXED_BYTES + 16 * (doc_ids.len() + user_ids.len()) + 4 * vectors.len();
    encode_with(KIND_DOCUMENTS, body_len, out, |body| {
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
    })
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

    fn encode(&self, out: &mut [u8]) -> usize {
        encode_documents(
            Op::Insert,
            self.doc_ids.iter().map(|id| id.to_le_bytes()),
            self.user_ids.iter().map(|id| id.to_le_bytes()),
            self.vectors.iter().map(|float| float.to_le_bytes()),
            out,
        )
    }
}

impl Encode for Delete<'_> {}
impl Sealed for Delete<'_> {
    fn body_len(&self) -> Result<usize> {
        documents_len(Op::Delete, self.doc_ids.len(), self.user_ids.len(), 0)
    }

    fn encode(&self, out: &mut [u8]) -> usize {
        encode_documents(
            Op::Delete,
            self.doc_ids.iter().map(|id| id.to_le_bytes()),
            self.user_ids.iter().map(|id| id.to_le_bytes()),
            std::iter::empty(),
            out,
        )
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

    fn encode(&self, out: &mut [u8]) -> usize {
        encode_documents(
            self.op,
            self.doc_ids.iter().copied(),
            self.user_ids.iter().copied(),
            self.vectors.iter().copied(),
            out,
        )
    }
}
