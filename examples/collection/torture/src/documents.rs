//! Keys and payloads as documents and vectors, and back.

/// Sees every document.
pub(super) const EVERYBODY: u128 = 1;
/// Each key is visible to one of these as well.
pub(super) const OWN_USERS: std::ops::Range<u128> = 100..103;

/// Documents that are a key's.
const DOCS: u8 = 4;
/// Numbers before a vector's data: three for the id, the payload's length, the document's place.
const HEAD: usize = 5;
/// A float holds so many bytes exactly.
const BYTES: usize = 3;

/// How payloads are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) payload_bytes_max: usize,
}

/// A key with all of its documents, of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) key: u64,
    pub(super) id: u64,
    pub(super) payload: Vec<u8>,
    /// Of its first document.
    pub(super) vector: Vec<f32>,
}

/// The key of an attempt that shares it with no other.
pub(super) fn key_of_its_own(id: u64) -> u64 {
    1 << 63 | id
}

/// A key's documents.
pub(super) fn docs(key: u64) -> Vec<u128> {
    let doc = |place: u8| u128::from(key) << 8 | u128::from(place);
    (0..DOCS).map(doc).collect()
}

/// Who may see them.
pub(super) fn users(key: u64) -> [u128; 2] {
    [EVERYBODY, OWN_USERS.start + u128::from(key % 3)]
}

impl Layout {
    /// Data floats of each document.
    fn data(self) -> usize {
        self.payload_bytes_max.div_ceil(BYTES * DOCS as usize)
    }

    pub(super) fn dimension(self) -> u32 {
        u32::try_from(HEAD + self.data()).expect("payloads are short")
    }

    /// The vectors of a key's documents.
    pub(super) fn vectors(self, id: u64, payload: &[u8]) -> Vec<f32> {
        let mut data = payload.chunks(BYTES).map(number);
        let id = id.to_le_bytes();
        let mut vectors = Vec::new();
        for place in 0..DOCS {
            vectors.extend(id.chunks(BYTES).map(number));
            vectors.push(payload.len() as f32);
            vectors.push(f32::from(place));
            vectors.extend((0..self.data()).map(|_| data.next().unwrap_or(0.0)));
        }
        assert!(data.next().is_none(), "the payload is longer than any");
        vectors
    }

    /// The keys of documents that a search has found, in order. The error names a key of which a part is
    /// missing, or of another attempt.
    pub(super) fn assemble(mut found: Vec<(u128, Vec<f32>)>) -> Result<Vec<Whole>, String> {
        found.sort_by_key(|(doc, _)| *doc);
        let mut wholes = Vec::new();
        for docs in found.chunk_by(|(a, _), (b, _)| a >> 8 == b >> 8) {
            let key = u64::try_from(docs[0].0 >> 8).map_err(|_| "a document of no key")?;
            wholes.push(Self::assemble_key(key, docs)?);
        }
        Ok(wholes)
    }

    fn assemble_key(key: u64, docs: &[(u128, Vec<f32>)]) -> Result<Whole, String> {
        let places: Vec<u128> = docs.iter().map(|(doc, _)| doc & 0xff).collect();
        if places != (0..u128::from(DOCS)).collect::<Vec<_>>() {
            return Err(format!(
                "half an operation: of the documents of key {key:#x} there are only {places:?}"
            ));
        }
        let head = &docs[0].1[..HEAD - 1];
        if let Some((doc, other)) = docs.iter().find(|(_, vector)| vector[..HEAD - 1] != *head) {
            return Err(format!(
                "half an operation: the documents of key {key:#x} are of several attempts: {head:?}, \
                 and {:?} in document {}",
                &other[..HEAD - 1],
                doc & 0xff
            ));
        }
        let bytes = head[..3].iter().flat_map(|number| bytes_of(*number));
        let id: Vec<u8> = bytes.take(8).collect();
        let id = u64::from_le_bytes(id.try_into().expect("eight were taken"));
        let data = docs.iter().flat_map(|(_, vector)| &vector[HEAD..]);
        let payload = data.flat_map(|number| bytes_of(*number));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let len = head[3] as usize;
        Ok(Whole {
            key,
            id,
            payload: payload.take(len).collect(),
            vector: docs[0].1.clone(),
        })
    }
}

/// Up to three bytes as a float, exactly.
fn number(bytes: &[u8]) -> f32 {
    let number = bytes
        .iter()
        .rev()
        .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    {
        number as f32
    }
}

/// The three bytes of a float.
fn bytes_of(number: f32) -> [u8; BYTES] {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what was not made by `number` shows as a wrong payload"
    )]
    let [a, b, c, _] = (number as u32).to_le_bytes();
    [a, b, c]
}
