//! An entry: some documents and their vectors, or the deletion of some documents.
//!
//! ```text
//! u32 len | u64 documents | u64 users | documents x u128 | users x u128 | f32 .. | u8 op
//! ```
//!
//! `len` does not count its own 4 bytes. There is no checksum: whoever reads an entry takes what is
//! there. The payload of an attempt travels in the vectors of an insert or the ids of a delete, and
//! everything else in the entry derives from it, so that a changed id is noticed as well.

use std::sync::Arc;

use plugpull::workload::id_of;

/// Numbers in a vector. `MuopDB`'s benchmark has 128; fewer keep the files small.
const FEATURES: usize = 32;
const VECTOR_BYTES: usize = 4 * FEATURES;

const INSERT: u8 = 0;
const DELETE: u8 = 1;

/// What a follower hands to its leader.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    doc_ids: Arc<[u128]>,
    user_ids: Arc<[u128]>,
    /// `None` in a delete.
    vectors: Option<Arc<[f32]>>,
}

impl Entry {
    /// A payload of whole ids becomes a delete, any other one an insert.
    pub(super) fn of_payload(payload: &[u8]) -> Self {
        let (ids, rest) = payload.as_chunks::<16>();
        let user_ids = Arc::new([payload.len() as u128]);
        if rest.is_empty() {
            return Self {
                doc_ids: ids.iter().map(|id| u128::from_le_bytes(*id)).collect(),
                user_ids,
                vectors: None,
            };
        }
        let mut bytes = payload.to_vec();
        bytes.resize(payload.len().next_multiple_of(VECTOR_BYTES), 0);
        let (floats, _) = bytes.as_chunks();
        Self {
            doc_ids: (0..bytes.len() / VECTOR_BYTES)
                .map(|document| document_id(payload, document))
                .collect(),
            user_ids,
            vectors: Some(
                floats
                    .iter()
                    .map(|float| f32::from_le_bytes(*float))
                    .collect(),
            ),
        }
    }

    /// The payload that it was made from; changed, if anything in the entry is.
    pub(super) fn payload(&self) -> Vec<u8> {
        let bytes: Vec<u8> = match &self.vectors {
            Some(vectors) => vectors
                .iter()
                .flat_map(|float| float.to_le_bytes())
                .collect(),
            None => self
                .doc_ids
                .iter()
                .flat_map(|id| id.to_le_bytes())
                .collect(),
        };
        let len = self.user_ids.first().map(|len| usize::try_from(*len));
        let payload = match len {
            Some(Ok(len)) if len <= bytes.len() => bytes[..len].to_vec(),
            _ => bytes.clone(),
        };
        let written = Self::of_payload(&payload);
        if written.fields() == self.fields() {
            payload
        } else {
            // No payload has a byte more than itself.
            [payload, vec![0]].concat()
        }
    }

    /// Its fields as they are written, one by one.
    pub(super) fn fields(&self) -> [Vec<u8>; 7] {
        let ids = |ids: &[u128]| {
            ids.iter()
                .flat_map(|id| id.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let vectors = self.vectors.iter().flat_map(|vectors| vectors.iter());
        let vectors: Vec<u8> = vectors.flat_map(|float| float.to_le_bytes()).collect();
        let doc_ids = ids(&self.doc_ids);
        let user_ids = ids(&self.user_ids);
        let len = 8 + 8 + doc_ids.len() + user_ids.len() + vectors.len() + 1;
        let op = if self.vectors.is_some() {
            INSERT
        } else {
            DELETE
        };
        [
            u32::try_from(len)
                .expect("a workload's entry")
                .to_le_bytes()
                .to_vec(),
            (self.doc_ids.len() as u64).to_le_bytes().to_vec(),
            (self.user_ids.len() as u64).to_le_bytes().to_vec(),
            doc_ids,
            user_ids,
            vectors,
            vec![op],
        ]
    }

    /// Makes sense of what stands behind a length, as the design does: it trusts every count.
    ///
    /// # Panics
    /// If the counts are not those of an entry.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        // As a release build counts.
        let end = bytes.len().wrapping_sub(1);
        let count = |at: usize| {
            let count = bytes[at..at + 8].first_chunk().expect("eight bytes");
            usize::try_from(u64::from_le_bytes(*count)).expect("64 bits")
        };
        let (documents, users) = (count(0), count(8));
        let ids = |at: usize, count: usize| -> Arc<[u128]> {
            let (ids, _) = bytes[at..at.wrapping_add(count.wrapping_mul(16))].as_chunks();
            ids.iter().map(|id| u128::from_le_bytes(*id)).collect()
        };
        let doc_ids = ids(16, documents);
        let users_at = 16_usize.wrapping_add(documents.wrapping_mul(16));
        let user_ids = ids(users_at, users);
        let data = &bytes[users_at.wrapping_add(users.wrapping_mul(16))..end];
        let vectors = (bytes[end] == INSERT).then(|| -> Arc<[f32]> {
            let (floats, _) = data.as_chunks();
            floats
                .iter()
                .map(|float| f32::from_le_bytes(*float))
                .collect()
        });
        if let Some(vectors) = &vectors {
            assert_eq!(
                vectors.len(),
                documents.wrapping_mul(FEATURES),
                "the vectors are not those of so many documents"
            );
        }
        Self {
            doc_ids,
            user_ids,
            vectors,
        }
    }
}

fn document_id(payload: &[u8], document: usize) -> u128 {
    u128::from(id_of(payload).unwrap_or(u64::MAX)) << 32 | document as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_and_a_changed_bit_anywhere_is_noticed() {
        for len in [8, 16, 127, 128, 129, 400] {
            let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let mut bytes = Entry::of_payload(&payload).fields()[1..].concat();
            assert_eq!(Entry::decode(&bytes).payload(), payload);
            // Not in the counts, which panic, nor in the op, which makes it another entry.
            for at in 16..bytes.len() - 1 {
                bytes[at] ^= 4;
                assert_ne!(
                    Entry::decode(&bytes).payload(),
                    payload,
                    "byte {at} of {len}"
                );
                bytes[at] ^= 4;
            }
        }
    }
}
