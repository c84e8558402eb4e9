//! Directories of any content: opening one never panics and never allocates without bound, and
//! whatever opens can be replayed, appended to and opened again.
//!
//! The input is a script: bytes that build a log, damage it, forge valid frames and headers in it,
//! or lay down files outright. See [`step`] for the operations.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use groupwal::format::Header;
use groupwal::inspect::Reader;
use groupwal::salvage::Salvage;
use groupwal::{EngineKind, Executor, Storage, Wal};

use crate::support::image::{forge_frame, forge_segment, segment_fields, segment_name};
use crate::support::mem::{Image, MemStorage};
use crate::support::tiny::{DIR, open_with, options, ready};

/// Scripts in bytes, for the corpus.
pub mod script {
    pub fn append(len: u16) -> Vec<u8> {
        [&[0][..], &len.to_le_bytes()].concat()
    }
    pub fn batch(count: u8, len: u8) -> Vec<u8> {
        vec![1, count, len]
    }
    pub fn trim(share: u8) -> Vec<u8> {
        vec![2, share]
    }
    pub fn close() -> Vec<u8> {
        vec![3]
    }
    pub fn crash() -> Vec<u8> {
        vec![4]
    }
    pub fn flip(file: u8, at: u16, mask: u8) -> Vec<u8> {
        [&[5, file][..], &at.to_le_bytes(), &[mask]].concat()
    }
    pub fn zero(file: u8, from: u16, len: u16) -> Vec<u8> {
        [&[6, file][..], &from.to_le_bytes(), &len.to_le_bytes()].concat()
    }
    pub fn cut(file: u8, len: u16) -> Vec<u8> {
        [&[7, file][..], &len.to_le_bytes()].concat()
    }
    pub fn remove(file: u8) -> Vec<u8> {
        vec![8, file]
    }
    pub fn copy(from: u8, to: u8) -> Vec<u8> {
        vec![9, from, to]
    }
    /// `fields`: group, first, durable and trim position.
    pub fn frame(
        file: u8,
        block: u8,
        count: u8,
        fields: [u64; 4],
        seal: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut bytes = vec![10, file, block, count];
        fields
            .iter()
            .for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.push(seal);
        bytes.push(u8::try_from(payload.len()).unwrap());
        bytes.extend(payload);
        bytes
    }
    pub fn header(name: u64, version: u32, block: u32, segment: u64, id: u64, len: u16) -> Vec<u8> {
        let mut bytes = vec![11];
        bytes.extend(name.to_le_bytes());
        bytes.extend(version.to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend(segment.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes
    }
    pub fn raw(name: u64, spare: bool, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![12, u8::from(spare)];
        bytes.extend(name.to_le_bytes());
        bytes.push(u8::try_from(content.len()).unwrap());
        bytes.extend(content);
        bytes
    }
}

/// The most steps in a script: longer ones find nothing that shorter ones do not.
const STEPS_MAX: usize = 64;

pub fn run(data: &[u8]) {
    check(&image_of(data));
}

/// The directory that a script leaves.
pub fn image_of(script: &[u8]) -> Image {
    let mut u = Unstructured::new(script);
    let mut image = Image::new();
    let mut live = None;
    for _ in 0..STEPS_MAX {
        if u.is_empty() || step(&mut u, &mut image, &mut live).is_err() {
            break;
        }
    }
    settle(&mut image, &mut live);
    image
}

/// A log in use and its directory.
type Live = Option<(MemStorage, Wal)>;

/// Kills the log, if it is in use.
fn settle(image: &mut Image, live: &mut Live) {
    if let Some((storage, wal)) = live.take() {
        drop(wal);
        *image = storage.snapshot();
    }
}

/// Opens a log that keeps one spare segment.
pub fn open(storage: &MemStorage) -> groupwal::Result<Wal> {
    open_with(Arc::new(storage.clone()), options().spare_segments_max(1))
}

/// The log in use, opened if it can be.
fn alive<'a>(image: &Image, live: &'a mut Live) -> Option<&'a Wal> {
    if live.is_none() {
        let storage = MemStorage::from_snapshot(image, 7);
        *live = open(&storage).ok().map(|wal| (storage, wal));
    }
    live.as_ref().map(|(_, wal)| wal)
}

fn step(u: &mut Unstructured<'_>, image: &mut Image, live: &mut Live) -> Result<()> {
    let op = u.arbitrary::<u8>()? % 13;
    if op >= 4 {
        settle(image, live);
    }
    // A write may be refused by a log that a forged frame left at the end of its numbers.
    match op {
        0 => {
            let len = usize::from(u.arbitrary::<u16>()?) % 1100;
            alive(image, live).map(|wal| ready(wal.append(&vec![7; len])).ok());
        }
        1 => {
            let (count, len): (u8, u8) = (u.arbitrary()?, u.arbitrary()?);
            let batch = vec![vec![9; usize::from(len)]; usize::from(count) % 8];
            alive(image, live).map(|wal| ready(wal.append_batch(&batch)).ok());
        }
        2 => {
            let share = u128::from(u.arbitrary::<u8>()?);
            if let Some(wal) = alive(image, live) {
                let below = u128::from(wal.durable_seq()) * share / 255;
                ready(wal.trim(u64::try_from(below).unwrap())).ok();
            }
        }
        3 => {
            alive(image, live).map(|wal| ready(wal.close()).ok());
            settle(image, live);
        }
        4 => {}
        5 => {
            let (file, at, mask): (u8, u16, u8) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            if let Some(byte) = file_of(image, file).and_then(|f| f.get_mut(usize::from(at))) {
                *byte ^= mask;
            }
        }
        6 => {
            let (file, from, len): (u8, u16, u16) =
                (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            if let Some(file) = file_of(image, file) {
                let from = usize::from(from).min(file.len());
                let end = (from + usize::from(len)).min(file.len());
                file[from..end].fill(0);
            }
        }
        7 => {
            let (file, len): (u8, u16) = (u.arbitrary()?, u.arbitrary()?);
            if let Some(file) = file_of(image, file) {
                file.truncate(usize::from(len));
            }
        }
        8 => {
            let name = name_of(image, u.arbitrary()?);
            name.map(|name| image.remove(&name));
        }
        9 => {
            let (from, to) = (u.arbitrary()?, u.arbitrary::<u8>()?);
            if let Some(name) = name_of(image, from) {
                let bytes = image[&name].clone();
                image.insert(segment_name(u64::from(to) % 8), bytes);
            }
        }
        10 => forge(u, image)?,
        11 => {
            let name = u.arbitrary()?;
            let (version, block, segment): (u32, u32, u64) =
                (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            let (id, len): (u64, u16) = (u.arbitrary()?, u.arbitrary()?);
            let mut bytes = forge_segment(version, 64, 64, [3; 16], id, 5);
            bytes[12..16].copy_from_slice(&block.to_le_bytes());
            bytes[16..24].copy_from_slice(&segment.to_le_bytes());
            let checksum = crc_fast::crc64_nvme(&bytes[..56]);
            bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
            bytes.resize(usize::from(len).max(64), 0);
            image.insert(segment_name(name), bytes);
        }
        _ => {
            let (spare, name): (bool, u64) = (u.arbitrary()?, u.arbitrary()?);
            let len = usize::from(u.arbitrary::<u8>()?);
            let bytes = u.bytes(len)?.to_vec();
            let suffix = if spare { "spare" } else { "seg" };
            image.insert(format!("{name:020}.{suffix}"), bytes);
        }
    }
    Ok(())
}

fn forge(u: &mut Unstructured<'_>, image: &mut Image) -> Result<()> {
    let (file, block, entry_count): (u8, u8, u8) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let [group, first_seq, durable_seq, trim_seq] = u.arbitrary()?;
    let flags: u8 = u.arbitrary()?;
    let header = Header {
        payload_len: 0,
        entry_count: u32::from(entry_count),
        group,
        first_seq,
        durable_seq,
        trim_seq,
        seal: flags & 1 != 0,
        lost: flags & 2 != 0,
    };
    let len = usize::from(u.arbitrary::<u8>()?);
    let payload = u.bytes(len)?;
    let Some(segment) = file_of(image, file) else {
        return Ok(());
    };
    if let Some(fields) = segment_fields(segment) {
        let offset = (usize::from(block) + 1).saturating_mul(fields.block_bytes);
        if offset.saturating_add(1024) <= segment.len() {
            forge_frame(segment, offset, header, payload);
        }
    }
    Ok(())
}

fn name_of(image: &Image, file: u8) -> Option<String> {
    let names = image.keys().filter(|name| name.contains('.'));
    let count = names.clone().count().max(1);
    names.clone().nth(usize::from(file) % count).cloned()
}

fn file_of(image: &mut Image, file: u8) -> Option<&mut Vec<u8>> {
    let name = name_of(image, file)?;
    image.get_mut(&name)
}

/// Opens the image; if that works, everything else must.
fn check(image: &Image) {
    let seen = look(image);
    let storage = MemStorage::from_snapshot(image, 11);
    let opened = open(&storage);
    assert!(
        seen == opened.as_ref().ok().map(Wal::durable_seq) || has_no_log(image),
        "a reader says {seen:?}, recovery {opened:?} of {:?}",
        image.keys()
    );
    let Ok(wal) = opened else {
        return;
    };
    let (first, next) = (wal.trim_seq(), wal.durable_seq());
    let mut expected = entries(&wal, first);
    assert_eq!(ready(wal.append(b"one more")).unwrap(), next);
    drop(wal);
    let wal = open(&storage).expect("what was recovered opens again");
    expected.push(format!("{:?}", groupwal::Entry::Bytes(b"one more")));
    assert_eq!(entries(&wal, first), expected);
    ready(wal.close()).unwrap();
    drop(wal);
    let wal = open(&storage).expect("what was closed opens again");
    assert!(wal.recovery().sealed);
    assert_eq!(entries(&wal, first), expected);
    drop(wal);
    // The other way to read: pieces for an executor, what is cached on the spot.
    let options = options()
        .engine(EngineKind::Blocking)
        .executor(Arc::new(AtOnce));
    let opened = ready(Wal::open_with(Arc::new(storage), DIR, options));
    assert_eq!(entries(&opened.expect("it opens again"), first), expected);
}

struct AtOnce;

impl Executor for AtOnce {
    fn execute(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// Where the log goes on, as a reader sees it that changes nothing; `None` if it is damaged.
fn look(image: &Image) -> Option<u64> {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::from_snapshot(image, 11));
    // Of any wreck, too, there is something to say.
    Salvage::survey_with(storage.clone(), DIR, &mut |_| true).ok();
    let mut reader = Reader::open_with(&storage, DIR).ok()?.strict();
    while let Some(group) = reader.next_group().ok()? {
        group.records().for_each(drop);
    }
    Some(reader.report().next_seq)
}

/// Recovery begins a log where a reader finds none.
fn has_no_log(image: &Image) -> bool {
    let is_segment = |name: &String| {
        let digits = name.strip_suffix(".seg");
        digits.is_some_and(|digits| digits.len() == 20)
    };
    !image.keys().any(is_segment)
}

/// What a replay shows: each entry, or each run of lost ones; without a gap.
fn entries(wal: &Wal, from: u64) -> Vec<String> {
    let mut replay = wal.replay(from);
    let mut found = Vec::new();
    let mut next = from;
    loop {
        match ready(replay.next()) {
            Ok(Some(record)) => {
                assert_eq!(record.seq, next);
                found.push(format!("{:?}", record.entry));
                next += 1;
            }
            Ok(None) => break,
            Err(error) => {
                let lost = error
                    .lost_entries()
                    .expect("what was recovered can be replayed");
                assert_eq!(lost.start, next);
                found.push(format!("lost {lost:?}"));
                next = lost.end;
                replay = wal.replay(next);
            }
        }
    }
    assert_eq!(next, wal.durable_seq());
    found
}
