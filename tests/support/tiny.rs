//! Logs with tiny limits, so that boundaries are cheap to reach, and few words to use them with.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use groupwal::{EngineKind, Entry, Options, Result, Storage, Wal};

use super::mem::{Image, MemStorage};

/// Where the logs in memory are said to be.
pub const DIR: &str = "/log";
/// Block size of [`options`].
pub const BLOCK: usize = 512;
/// Segment size of [`options`]: a header, frames for seven blocks, and the two reserved ones.
pub const SEGMENT: usize = 10 * BLOCK;

/// The inline engine, blocks of 512 bytes, segments of ten blocks, no spare segments.
pub fn options() -> Options {
    Options::default()
        .engine(EngineKind::Inline)
        .block_bytes(512)
        .segment_bytes(SEGMENT as u64)
        .entry_bytes_max(1024)
        .group_bytes_max(2048)
        .spare_segments_max(0)
}

/// The output of a future that has nothing to wait for, as on the inline engine without a timer.
///
/// # Panics
/// If it waits all the same.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future on the inline engine waits for something"),
    }
}

/// Opens the log on `storage` with [`options`].
pub fn open(storage: &MemStorage) -> Result<Wal> {
    open_with(Arc::new(storage.clone()), options())
}

pub fn open_with(storage: Arc<dyn Storage>, options: Options) -> Result<Wal> {
    ready(Wal::open_with(storage, DIR, options))
}

/// Opens what a crash left, in a storage of its own.
pub fn open_image(image: &Image) -> Result<Wal> {
    open(&MemStorage::from_snapshot(image, 99))
}

/// The bytes that tests append as entry `seq`: as many as differ between neighbours, and all
/// derived from the number.
pub fn payload(seq: u64) -> Vec<u8> {
    let len = 1 + usize::try_from(seq * 37 % 400).unwrap();
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.resize(8 + len, u8::try_from(seq % 251).unwrap());
    bytes
}

/// Appends the payloads of `seqs` one by one and checks their numbers.
pub fn append_all(wal: &Wal, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        assert_eq!(ready(wal.append(&payload(seq))).unwrap(), seq);
    }
}

/// Everything that can be replayed from `from` on, with its number.
pub fn replay_from(wal: &Wal, from: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut replay = wal.replay(from);
    let mut found = Vec::new();
    while let Some(record) = ready(replay.next())? {
        let Entry::Bytes(bytes) = record.entry else {
            panic!("entry {} is not bytes: {record:?}", record.seq)
        };
        found.push((record.seq, bytes.to_vec()));
    }
    Ok(found)
}

/// Everything that can be replayed.
pub fn contents(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    replay_from(wal, wal.trim_seq()).unwrap()
}

/// What [`contents`] is if exactly the entries `seqs` are there.
pub fn payloads(seqs: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    seqs.map(|seq| (seq, payload(seq))).collect()
}
