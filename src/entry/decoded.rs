//! An entry as it is read: borrowed from the log's bytes. Pure.

use super::documents::{Documents, KIND_DOCUMENTS};
use super::encode::{Encode, KIND_BYTES, sealed::Sealed};
use super::refusal::DecodeError;
use crate::error::Result;

/// A decoded entry, borrowed from the log's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// An [`Insert`](crate::Insert) or a [`Delete`](crate::Delete).
    Documents(Documents<'a>),
    /// Opaque bytes.
    Bytes(&'a [u8]),
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

impl Encode for Entry<'_> {}
impl Sealed for Entry<'_> {
    fn body_len(&self) -> Result<usize> {
        match self {
            Self::Documents(documents) => documents.body_len(),
            Self::Bytes(bytes) => bytes.body_len(),
        }
    }

    fn encode(&self, out: &mut [u8]) -> usize {
        match self {
            Self::Documents(documents) => documents.encode(out),
            Self::Bytes(bytes) => bytes.encode(out),
        }
    }
}
