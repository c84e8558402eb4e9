//! Entries as MuopDB lays them out, and how the decoder reads them.

use groupwal::muopdb::{Damage, Decoder, Era, Step};
use groupwal::{Documents, Op};

/// Entries as the tests describe them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) op: Op,
    pub(crate) docs: Vec<u128>,
    pub(crate) users: Vec<u128>,
    pub(crate) bits: Vec<u32>,
}

pub(crate) fn insert(docs: &[u128], users: &[u128], floats: &[f32]) -> Wanted {
    Wanted {
        op: Op::Insert,
        docs: docs.to_vec(),
        users: users.to_vec(),
        bits: floats.iter().map(|float| float.to_bits()).collect(),
    }
}

pub(crate) fn delete(docs: &[u128], users: &[u128]) -> Wanted {
    Wanted {
        op: Op::Delete,
        ..insert(docs, users, &[])
    }
}

impl Wanted {
    fn of(documents: &Documents<'_>) -> Self {
        Self {
            op: documents.op(),
            docs: documents.doc_ids().collect(),
            users: documents.user_ids().collect(),
            bits: documents.vectors().map(f32::to_bits).collect(),
        }
    }

    /// The bytes of an entry; with `attributes`, as since December 2025.
    pub(crate) fn bytes(&self, attributes: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend((self.docs.len() as u64).to_le_bytes());
        body.extend((self.users.len() as u64).to_le_bytes());
        for id in self.docs.iter().chain(&self.users) {
            body.extend(id.to_le_bytes());
        }
        for bits in &self.bits {
            body.extend(bits.to_le_bytes());
        }
        if let Some(attributes) = attributes {
            body.extend(u32::try_from(attributes.len()).unwrap().to_le_bytes());
            body.extend(attributes);
        }
        body.push(u8::from(self.op == Op::Delete));
        let len = u32::try_from(body.len()).unwrap();
        [&len.to_le_bytes()[..], &body].concat()
    }
}

pub(crate) fn some_entries() -> Vec<Wanted> {
    vec![
        insert(&[1], &[9], &[1.0, 2.0, 3.0, 4.0]),
        delete(&[1], &[9]),
        insert(
            &[2, 3],
            &[9, 8],
            &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, f32::NAN],
        ),
        insert(&[u128::MAX], &[], &[0.5, -0.0, f32::INFINITY, 1e-40]),
    ]
}

pub(crate) fn article(entries: &[Wanted]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.bytes(None)).collect()
}

/// How the reading of a file's entries ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Whole,
    Ambiguous,
    Damaged(u64, Damage),
    /// The last entry before the damage is two halves.
    Torn(u64),
    OtherEra(Era),
}

/// Reads entries, handing out only `at_once` bytes more than were asked for.
fn read_in_pieces(bytes: &[u8], at_once: usize) -> (Vec<Wanted>, End) {
    let mut decoder = Decoder::new(1 << 20);
    let mut entries = Vec::new();
    let (mut at, mut given) = (0, at_once);
    let mut last = 0;
    loop {
        let left = bytes.len() - at;
        let window = &bytes[at..at + given.min(left)];
        match decoder.next(window, left as u64) {
            Step::Entry(documents, taken) => {
                entries.push(Wanted::of(&documents));
                last = at;
                at += taken;
                given = at_once;
            }
            Step::NeedMore(more) => {
                assert!(
                    more > window.len() && more <= left,
                    "{more} of {left} are asked for"
                );
                given = more + at_once;
            }
            Step::End if decoder.is_ambiguous() => return (entries, End::Ambiguous),
            Step::End => return (entries, End::Whole),
            Step::Damaged(_) if decoder.is_torn(&bytes[last..at], &bytes[at..], left as u64) => {
                entries.pop();
                return (entries, End::Torn(last as u64));
            }
            Step::Damaged(damage) => return (entries, End::Damaged(at as u64, damage)),
            Step::OtherEra(era) => return (entries, End::OtherEra(era)),
        }
    }
}

/// Reads entries; it makes no difference how much of the file is at hand.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Wanted>, End) {
    let whole = read_in_pieces(bytes, bytes.len());
    for at_once in [0, 1, 7, 30] {
        assert_eq!(read_in_pieces(bytes, at_once), whole);
    }
    whole
}
