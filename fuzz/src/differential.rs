//! The log's own reading against [`naive`]'s: of entries, and of whole directories.

use groupwal::Op;
use groupwal::format::decode;

use crate::entry::script_of;
use crate::naive;
use crate::recover::{image_of, open};
use crate::support::mem::{Image, MemStorage};
use crate::support::tiny::ready;

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, raw)) => entries(raw),
        Some((1, script)) => entries(&script_of(script)),
        Some((_, script)) => directory(&image_of(script)),
        None => {}
    }
}

/// Both read the same entries, and stop at the same byte.
fn entries(bytes: &[u8]) {
    let mut at = 0;
    loop {
        let ours = decode(&bytes[at..]).ok();
        let theirs = naive::entry(&bytes[at..]);
        let ours = ours.map(|(entry, rest)| (taken_apart(&entry), bytes.len() - at - rest.len()));
        assert_eq!(ours, theirs, "at byte {at}");
        match theirs {
            Some((_, len)) => at += len,
            None => return,
        }
    }
}

/// Both open it, and read the same; or neither does.
fn directory(image: &Image) {
    let storage = MemStorage::from_snapshot(image, 11);
    let (ours, theirs) = (open(&storage), naive::log(image));
    let (wal, theirs) = match (ours, theirs) {
        (Ok(wal), Some(log)) => (wal, log),
        (Err(_), None) => return,
        (ours, theirs) => panic!("ours {ours:?}, the naive reader's {theirs:?}"),
    };
    assert_eq!(wal.trim_seq(), theirs.trim_seq);
    assert_eq!(wal.durable_seq(), theirs.next_seq);
    let mut replay = wal.replay(wal.trim_seq());
    let (mut read, mut lost) = (Vec::new(), Vec::new());
    loop {
        match ready(replay.next()) {
            Ok(Some(record)) => read.push((record.seq, taken_apart(&record.entry))),
            Ok(None) => break,
            Err(error) => {
                let missing = error.lost_entries().expect("what opens can be read");
                replay = wal.replay(missing.end);
                lost.push(missing);
            }
        }
    }
    let from_there = |range: std::ops::Range<u64>| range.start.max(theirs.trim_seq)..range.end;
    let missing = theirs.lost.into_iter().map(from_there);
    assert_eq!(
        lost,
        missing
            .filter(|range| !range.is_empty())
            .collect::<Vec<_>>()
    );
    let is_left = |(seq, _): &(u64, naive::Entry)| *seq >= theirs.trim_seq;
    let expected: Vec<_> = theirs.entries.into_iter().filter(is_left).collect();
    assert_eq!(read, expected);
}

fn taken_apart(entry: &groupwal::Entry<'_>) -> naive::Entry {
    match entry {
        groupwal::Entry::Bytes(bytes) => naive::Entry::Bytes(bytes.to_vec()),
        groupwal::Entry::Documents(documents) => naive::Entry::Documents {
            is_insert: documents.op() == Op::Insert,
            doc_ids: documents.doc_ids().collect(),
            user_ids: documents.user_ids().collect(),
            vectors: documents.vectors().map(f32::to_bits).collect(),
        },
    }
}
