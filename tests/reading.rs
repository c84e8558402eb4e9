//! Logs longer than what is read at once: frames that straddle reads, reads ahead, and what becomes
//! of them.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use groupwal::{EngineKind, Entry, Executor, Options, Replay, Result, Wal};
use support::fault::{EIO, Op, Plan};
use support::image::frames;
use support::mem::MemStorage;
use support::tiny::{DIR, open_with, ready};

/// Segments that take several of the longest reads, and frames that are longer than one.
fn options() -> Options {
    Options::default()
        .engine(EngineKind::Inline)
        .block_bytes(512)
        .segment_bytes(3 << 20)
        .entry_bytes_max(3 << 19)
        .group_bytes_max(2 << 20)
        .spare_segments_max(0)
}

/// Entry `seq`: its number, and a length that hits every kind of boundary sooner or later.
fn payload(seq: u64) -> Vec<u8> {
    let scattered = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let len = match seq % 97 {
        0 => 1_200_000,
        1 => 300_000,
        // A frame that fills its blocks to the last byte: header, kind and length before it.
        2 => 64 * 512 - 64 - 5,
        _ => 8 + scattered % 3000,
    };
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.resize(
        usize::try_from(len).unwrap(),
        u8::try_from(seq % 251).unwrap(),
    );
    bytes
}

const ENTRIES: u64 = 1200;

/// Appends entries from `first` on, one to six in a group, `ENTRIES` in all.
fn fill(wal: &Wal, first: u64) {
    let mut seq = first;
    while seq < first + ENTRIES {
        let end = (seq + 1 + seq % 6).min(first + ENTRIES);
        let batch: Vec<_> = (seq..end).map(payload).collect();
        assert_eq!(ready(wal.append_batch(&batch)).unwrap(), seq..end);
        seq = end;
    }
}

fn filled(storage: &MemStorage) -> Wal {
    let wal = open_with(Arc::new(storage.clone()), options()).unwrap();
    fill(&wal, 0);
    assert!(wal.segment_count() > 3);
    wal
}

/// Checks that a record is entry `seq`.
fn check(record: groupwal::Record<'_>, seq: u64) {
    assert_eq!(record.seq, seq);
    assert!(
        record.entry == Entry::Bytes(&payload(seq)),
        "entry {seq} is another one"
    );
}

async fn read_to_end(replay: &mut Replay, mut expected: u64) -> Result<u64> {
    while let Some(record) = replay.next().await? {
        check(record, expected);
        expected += 1;
    }
    Ok(expected)
}

#[test]
fn every_entry_is_shown_wherever_reads_cut_the_log() {
    let storage = MemStorage::new(1);
    let wal = filled(&storage);
    for from in [0, 1, 2, 96, 97, 98, 500, ENTRIES - 1, ENTRIES] {
        let mut replay = wal.replay(from);
        assert_eq!(ready(read_to_end(&mut replay, from)).unwrap(), ENTRIES);
    }
    // Recovery reads the same files in pieces of another length.
    drop(wal);
    let wal = open_with(Arc::new(storage), options()).unwrap();
    assert_eq!(wal.recovery().entries, ENTRIES);
    assert_eq!(ready(read_to_end(&mut wal.replay(0), 0)).unwrap(), ENTRIES);
}

#[test]
fn groups_hold_the_entries_that_next_shows() {
    let wal = filled(&MemStorage::new(1));
    let mut replay = wal.replay(0);
    let mut seq = 0;
    while let Some(records) = ready(replay.next_group()).unwrap() {
        let end = (seq + 1 + seq % 6).min(ENTRIES);
        assert_eq!(records.len(), usize::try_from(end - seq).unwrap());
        for record in records {
            check(record, seq);
            seq += 1;
        }
        assert_eq!(seq, end);
    }
    assert_eq!(seq, ENTRIES);
}

#[test]
fn what_is_not_taken_out_of_a_group_is_shown_by_the_next_call() {
    let wal = filled(&MemStorage::new(1));
    let mut replay = wal.replay(3);
    let mut seq = 3;
    while seq < ENTRIES {
        let records = ready(replay.next_group()).unwrap().unwrap();
        for record in records.take(2) {
            check(record, seq);
            seq += 1;
        }
        if let Some(record) = ready(replay.next()).unwrap() {
            check(record, seq);
            seq += 1;
        }
    }
    assert!(ready(replay.next_group()).unwrap().is_none());
    // It goes on when there is more, with a first read that is short again.
    fill(&wal, ENTRIES);
    assert_eq!(ready(read_to_end(&mut replay, seq)).unwrap(), 2 * ENTRIES);
}

/// Each damaged byte is one of a frame's payload, in turn the first one of the first frame that a read
/// begins with, one in a frame that straddles reads, and so on: no frame is taken on trust.
#[test]
fn no_frame_is_shown_unchecked() {
    let storage = MemStorage::new(1);
    drop(filled(&storage));
    let image = storage.snapshot();
    let all = frames(&image);
    for (index, frame) in all.iter().enumerate().step_by(61) {
        let storage = MemStorage::from_snapshot(&image, 2);
        let wal = open_with(Arc::new(storage.clone()), options()).unwrap();
        let file = groupwal::StorageDir::open(&storage, &frame.file).unwrap();
        // The last byte of the last entry's body: the entries are still well-formed.
        let last = frame.offset as u64 + frame.header.frame_bytes() - 1;
        let mut byte = [0];
        groupwal::StorageFile::read_at(&*file, &mut byte, last).unwrap();
        byte[0] ^= 1;
        groupwal::StorageFile::write_at(&*file, &byte, last).unwrap();
        let mut replay = wal.replay(0);
        let mut shown = 0;
        let error = loop {
            match ready(replay.next()) {
                Ok(Some(record)) => check(record, shown),
                Ok(None) => panic!("frame {index} of {} is missing", all.len()),
                Err(error) => break error,
            }
            shown += 1;
        };
        assert!(error.is_corruption(), "{error}");
        assert_eq!(shown, frame.header.first_seq);
    }
}

/// Does what it is told, when it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Told {
    fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn run_all(&self) {
        loop {
            let work = self.0.lock().unwrap().pop();
            let Some(work) = work else { return };
            work();
        }
    }

    fn drop_all(&self) {
        let dropped = std::mem::take(&mut *self.0.lock().unwrap());
        drop(dropped);
    }
}

impl Executor for Told {
    fn execute(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap().push(work);
    }
}

/// Polls once.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs a future to its end, and the executor's work whenever it waits.
fn drive<F: Future>(told: &Told, future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut idle = 0;
    loop {
        if let Poll::Ready(output) = poll(&mut future) {
            return output;
        }
        // It may let others go on, but not for ever.
        idle = if told.waiting() > 0 { 0 } else { idle + 1 };
        assert!(idle < 3, "a future waits for nothing");
        told.run_all();
    }
}

fn told(storage: Arc<dyn groupwal::Storage>) -> (Arc<Told>, Wal) {
    let told = Arc::new(Told::default());
    let options = options()
        .engine(EngineKind::Blocking)
        .executor(told.clone());
    let wal = drive(&told, Wal::open_with(storage, DIR, options)).unwrap();
    assert_eq!(wal.durable_seq(), ENTRIES);
    (told, wal)
}

#[test]
fn while_one_chunk_is_shown_the_next_is_read() {
    let storage = MemStorage::new(1);
    drop(filled(&storage));
    let (told, wal) = told(Arc::new(storage));
    let mut replay = wal.replay(0);
    assert!(poll(&mut Box::pin(replay.next())).is_pending());
    assert_eq!(told.waiting(), 1);
    told.run_all();
    check(drive(&told, replay.next()).unwrap().unwrap(), 0);
    // Nobody has asked for what follows.
    assert_eq!(told.waiting(), 1);
    assert_eq!(drive(&told, read_to_end(&mut replay, 1)).unwrap(), ENTRIES);
    assert_eq!(told.waiting(), 0);
}

/// Whoever ran the work has gone: what was read ahead is read again when it is wanted, and only a read
/// that somebody waits for fails.
#[test]
fn a_read_ahead_that_is_dropped_is_done_again() {
    let storage = MemStorage::new(1);
    drop(filled(&storage));
    let (told, wal) = told(Arc::new(storage));
    let mut replay = wal.replay(0);
    let mut seq = 0;
    while seq < ENTRIES {
        let mut next = Box::pin(replay.next());
        match poll(&mut next) {
            Poll::Ready(record) => {
                check(record.unwrap().unwrap(), seq);
                seq += 1;
                drop(next);
                told.drop_all();
            }
            Poll::Pending => told.run_all(),
        }
    }
    let mut from_start = wal.replay(0);
    let mut next = Box::pin(from_start.next());
    assert!(poll(&mut next).is_pending());
    told.drop_all();
    assert!(matches!(poll(&mut next), Poll::Ready(Err(_))));
    drop(next);
    assert_eq!(
        drive(&told, read_to_end(&mut from_start, 0)).unwrap(),
        ENTRIES
    );
}

/// What was read ahead reaches behind the end of the log, and the log goes on there before anybody looks
/// at it: the bytes read then are no answer for the entries appended since.
#[test]
fn what_is_appended_after_a_read_ahead_is_read_again() {
    let storage = MemStorage::new(1);
    drop(filled(&storage));
    let (told, wal) = told(Arc::new(storage));
    let mut end = ENTRIES;
    for before_the_end in [400, 200, 120, 100, 60, 20, 3] {
        let stop = end - before_the_end;
        let from = stop - 100;
        let mut replay = wal.replay(from);
        for seq in from..stop {
            check(drive(&told, replay.next()).unwrap().unwrap(), seq);
        }
        told.run_all();
        let late: Vec<_> = (end..end + 3).map(payload).collect();
        let appended = drive(&told, wal.append_batch(&late)).unwrap();
        assert_eq!(appended, end..end + 3);
        end += 3;
        assert_eq!(drive(&told, read_to_end(&mut replay, stop)).unwrap(), end);
    }
}

/// What could not be read ahead is read again by the call that wants it. If that fails too, it says so,
/// once, and the next one goes on.
#[test]
fn a_read_ahead_that_fails_is_told_only_if_it_is_wanted_and_fails_again() {
    let storage = MemStorage::new(1);
    drop(filled(&storage));
    let plan = Plan::default();
    let (told, wal) = told(plan.over(storage));
    for in_a_row in 1..=2 {
        let mut replay = wal.replay(10);
        check(drive(&told, replay.next()).unwrap().unwrap(), 10);
        let mut seq = 11;
        let mut failures = 0;
        // The read ahead that was begun, and the read after it.
        assert_eq!(told.waiting(), 1);
        (0..in_a_row).for_each(|read| plan.fail(Op::Read, read, EIO));
        told.run_all();
        while seq < ENTRIES {
            match drive(&told, replay.next()) {
                Ok(record) => {
                    check(record.unwrap(), seq);
                    seq += 1;
                }
                Err(error) => {
                    assert!(error.io_error().is_some(), "{error}");
                    failures += 1;
                }
            }
        }
        assert_eq!(failures, in_a_row - 1);
    }
}

/// A replay is moved between threads and shared, as whatever it is part of.
#[test]
fn a_replay_is_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Replay>();
}
