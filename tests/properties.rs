//! Properties of entries, frames and whole logs, with generated input.

mod support;

use groupwal::format::{DecodeError, HEADER_BYTES, Header, Seed, decode, payload_is_valid};
use groupwal::{Delete, Entry, Insert, Op};
use proptest::collection::vec;
use proptest::prelude::*;
use support::image::{forge_frame, frames, opaque_payload};
use support::mem::MemStorage;
use support::tiny::{BLOCK, open, ready};

/// An entry that owns its parts.
#[derive(Clone, Debug)]
enum Owned {
    Insert(Vec<u128>, Vec<u128>, Vec<f32>),
    Delete(Vec<u128>, Vec<u128>),
    Bytes(Vec<u8>),
}

impl Owned {
    /// The documented layout, written down a second time.
    fn layout(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Bytes(bytes) => (2, bytes.clone()),
            Self::Insert(docs, users, vectors) => (1, documents(docs, users, vectors, 0)),
            Self::Delete(docs, users) => (1, documents(docs, users, &[], 1)),
        };
        let len = u32::try_from(body.len()).unwrap();
        [vec![kind], len.to_le_bytes().to_vec(), body].concat()
    }

    fn append(&self, wal: &groupwal::Wal) -> u64 {
        let appended = match self {
            Self::Insert(doc_ids, user_ids, vectors) => ready(wal.append(&Insert {
                doc_ids,
                user_ids,
                vectors,
            })),
            Self::Delete(doc_ids, user_ids) => ready(wal.append(&Delete { doc_ids, user_ids })),
            Self::Bytes(bytes) => ready(wal.append(bytes)),
        };
        appended.unwrap()
    }

    fn assert_eq(&self, entry: Entry<'_>) {
        let ids = |ids: &mut dyn Iterator<Item = u128>| ids.collect::<Vec<_>>();
        match (self, entry) {
            (Self::Bytes(expected), Entry::Bytes(bytes)) => assert_eq!(expected, bytes),
            (Self::Insert(docs, users, vectors), Entry::Documents(found)) => {
                assert_eq!(found.op(), Op::Insert);
                assert_eq!(&ids(&mut found.doc_ids()), docs);
                assert_eq!(&ids(&mut found.user_ids()), users);
                // Bit by bit: NaNs keep their payload.
                let bits = |float: f32| float.to_bits();
                assert!(
                    found
                        .vectors()
                        .map(bits)
                        .eq(vectors.iter().copied().map(bits))
                );
            }
            (Self::Delete(docs, users), Entry::Documents(found)) => {
                assert_eq!(found.op(), Op::Delete);
                assert_eq!(&ids(&mut found.doc_ids()), docs);
                assert_eq!(&ids(&mut found.user_ids()), users);
                assert_eq!(found.vectors().len(), 0);
            }
            (expected, entry) => panic!("{expected:?} became {entry:?}"),
        }
    }
}

fn documents(docs: &[u128], users: &[u128], vectors: &[f32], op: u8) -> Vec<u8> {
    let mut body = (docs.len() as u64).to_le_bytes().to_vec();
    body.extend((users.len() as u64).to_le_bytes());
    body.extend(docs.iter().chain(users).flat_map(|id| id.to_le_bytes()));
    body.extend(vectors.iter().flat_map(|float| float.to_le_bytes()));
    body.push(op);
    body
}

fn ids() -> impl Strategy<Value = Vec<u128>> {
    vec(any::<u128>(), 0..6)
}

fn entry() -> impl Strategy<Value = Owned> {
    let float = || any::<u32>().prop_map(f32::from_bits);
    let insert = (ids(), ids(), 0..8_usize).prop_flat_map(move |(docs, users, dimension)| {
        let floats = vec(float(), docs.len() * dimension);
        (Just(docs), Just(users), floats).prop_map(|(d, u, f)| Owned::Insert(d, u, f))
    });
    prop_oneof![
        insert,
        (ids(), ids()).prop_map(|(docs, users)| Owned::Delete(docs, users)),
        vec(any::<u8>(), 0..900).prop_map(Owned::Bytes),
    ]
}

proptest! {
    #[test]
    fn an_entry_is_laid_out_as_documented_and_comes_back(entries in vec(entry(), 1..8)) {
        let storage = MemStorage::new(1);
        let wal = open(&storage).unwrap();
        for (seq, entry) in entries.iter().enumerate() {
            prop_assert_eq!(entry.append(&wal), seq as u64);
        }
        let image = storage.snapshot();
        for (frame, entry) in frames(&image).iter().zip(&entries) {
            let payload = &image[&frame.file][frame.range()][HEADER_BYTES..];
            prop_assert_eq!(payload, &entry.layout()[..]);
        }
        let mut replay = wal.replay(0);
        for (seq, entry) in entries.iter().enumerate() {
            let record = ready(replay.next()).unwrap().unwrap();
            prop_assert_eq!(record.seq, seq as u64);
            entry.assert_eq(record.entry);
        }
        prop_assert!(ready(replay.next()).unwrap().is_none());
    }

    #[test]
    fn a_batch_of_all_kinds_shares_a_frame(entries in vec(entry(), 1..5)) {
        let layouts: Vec<Vec<u8>> = entries.iter().map(Owned::layout).collect();
        prop_assume!(layouts.iter().map(Vec::len).sum::<usize>() <= 2048);
        let decoded: Vec<Entry<'_>> = layouts.iter().map(|bytes| decode(bytes).unwrap().0).collect();
        let storage = MemStorage::new(1);
        let wal = open(&storage).unwrap();
        let seqs = ready(wal.append_batch(&decoded)).unwrap();
        prop_assert_eq!(seqs, 0..entries.len() as u64);
        drop(wal);
        let image = storage.snapshot();
        let found = frames(&image);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&image[&found[0].file][found[0].range()][HEADER_BYTES..], layouts.concat());
        let wal = open(&storage).unwrap();
        let mut replay = wal.replay(0);
        for entry in &entries {
            entry.assert_eq(ready(replay.next()).unwrap().unwrap().entry);
        }
    }

    #[test]
    fn an_entry_cut_short_or_followed_by_others_decodes_as_nothing_else(
        entry in entry(),
        behind in vec(any::<u8>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let layout = entry.layout();
        let longer = [layout.clone(), behind.clone()].concat();
        let (decoded, rest) = decode(&longer).unwrap();
        entry.assert_eq(decoded);
        prop_assert_eq!(rest, &behind[..]);
        prop_assert!(decode(&layout[..cut.index(layout.len())]).is_err());
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(
        kind in 0..4_u8,
        len in prop_oneof![0..80_u32, any::<u32>()],
        counts in vec(prop_oneof![0..3_u64, any::<u64>()], 2),
        tail in vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = vec![kind];
        bytes.extend(len.to_le_bytes());
        bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend(tail);
        if let Ok((_, rest)) = decode(&bytes) {
            prop_assert_eq!(rest.len(), bytes.len() - 5 - len as usize);
        }
    }

    #[test]
    fn a_frame_validates_at_its_own_place_only(
        entries in vec(vec(any::<u8>(), 0..60), 0..6),
        group in 0..1_u64 << 40,
        seqs in (0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40),
        seal in any::<bool>(),
        place in (any::<[u8; 16]>(), any::<u64>(), 1..8_u64),
        other in (any::<[u8; 16]>(), any::<u64>(), 1..8_u64),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut sorted = [seqs.0, seqs.1, seqs.2];
        sorted.sort_unstable();
        let refs: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let payload = opaque_payload(&refs);
        let header = Header {
            payload_len: u32::try_from(payload.len()).unwrap(),
            entry_count: u32::try_from(entries.len()).unwrap(),
            group,
            first_seq: sorted[2],
            durable_seq: sorted[1],
            trim_seq: sorted[0],
            seal,
            lost: false,
        };
        let mut segment = segment_with(place.0, place.1);
        let offset = usize::try_from(place.2).unwrap() * BLOCK;
        forge_frame(&mut segment, offset, header, &payload);
        let bytes = &mut segment[offset..offset + HEADER_BYTES + payload.len()];
        let seed = |(log_id, salt, block)| Seed::new(log_id, salt, block * BLOCK as u64);
        let (decoded, checksum) = Header::decode(seed(place), bytes).unwrap();
        prop_assert_eq!(decoded, header);
        prop_assert!(payload_is_valid(seed(place), &header, checksum, &payload));
        let (mut log_id, salt, block) = place;
        log_id[3] ^= 1;
        let neighbours = [
            other,
            (log_id, salt, block),
            (place.0, salt ^ 1, block),
            (place.0, salt, block + 1),
        ];
        for neighbour in neighbours {
            prop_assert!(Header::decode(seed(neighbour), bytes).is_none());
        }
        let bit = bit.index(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let still_valid = Header::decode(seed(place), bytes).is_some_and(|(header, checksum)| {
            payload_is_valid(seed(place), &header, checksum, &bytes[HEADER_BYTES..])
        });
        prop_assert!(!still_valid);
    }
}

/// The vectors of all documents are of one length, and a removal has none.
#[test]
fn vectors_that_do_not_fit_the_documents_are_no_entry() {
    let entry = |docs: &[u128], floats: &[f32], op: u8, tail: &[u8]| {
        let mut body = documents(docs, &[1], floats, op);
        // In front of the operation, which is the last byte.
        let end = body.len() - 1;
        body.splice(end..end, tail.iter().copied());
        let len = u32::try_from(body.len()).unwrap();
        [vec![1], len.to_le_bytes().to_vec(), body].concat()
    };
    let (insert, delete) = (0, 1);
    for (docs, floats, op) in [
        (&[][..], &[][..], insert),
        (&[1, 2], &[], insert),
        (&[1, 2], &[0.5, 1.5], insert),
        (&[1, 2], &[], delete),
    ] {
        assert!(decode(&entry(docs, floats, op, &[])).is_ok());
        // Bytes that are no whole float.
        let with_tail = entry(docs, floats, op, &[7; 3]);
        assert_eq!(decode(&with_tail).unwrap_err(), DecodeError::VectorsMisfit);
    }
    for (docs, floats, op) in [
        (&[1, 2][..], &[0.5][..], insert),
        (&[1, 2], &[0.5, 1.5, 2.5], insert),
        (&[], &[0.5], insert),
        (&[1, 2], &[0.5, 1.5], delete),
    ] {
        let misfit = entry(docs, floats, op, &[]);
        assert_eq!(decode(&misfit).unwrap_err(), DecodeError::VectorsMisfit);
    }
}

/// A frame whose entries were numbered up to the last 64-bit number opened, and the next append
/// panicked on the number after it.
#[test]
fn a_header_near_the_end_of_all_numbers_is_none() {
    let header = Header {
        payload_len: 0,
        entry_count: 0,
        group: 1,
        first_seq: 1,
        durable_seq: 1,
        trim_seq: 1,
        seal: false,
        lost: false,
    };
    let valid = |header| {
        let mut segment = segment_with([1; 16], 2);
        forge_frame(&mut segment, BLOCK, header, &[]);
        Header::decode(Seed::new([1; 16], 2, BLOCK as u64), &segment[BLOCK..]).is_some()
    };
    assert!(valid(header));
    for number in [1 << 63, u64::MAX - 1, u64::MAX] {
        let group = number;
        assert!(!valid(Header { group, ..header }));
        let first_seq = number;
        assert!(!valid(Header {
            first_seq,
            ..header
        }));
    }
}

/// An empty segment with this log id and salt.
fn segment_with(log_id: [u8; 16], salt: u64) -> Vec<u8> {
    let storage = MemStorage::new(1);
    drop(open(&storage).unwrap());
    let mut bytes = storage.snapshot()[&support::image::segment_name(0)].clone();
    bytes.resize(12 * BLOCK, 0);
    bytes[24..40].copy_from_slice(&log_id);
    bytes[48..56].copy_from_slice(&salt.to_le_bytes());
    let checksum = crc_fast::crc64_nvme(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
