//! Reading a log while it is written, rotated and trimmed.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use groupwal::format::{HEADER_BYTES, Header};
use groupwal::{EngineKind, Entry, Options, Replay, StorageDir, Wal};
use support::fault::{EIO, Op, Plan};
use support::image::{
    forge_frame, forge_segment, frames, opaque_payload, segment_fields, segment_name,
};
use support::mem::{Image, MemStorage};
use support::tiny::{
    BLOCK, DIR, append_all, contents, open, open_with, options, payload, payloads, ready,
    replay_from,
};

fn blocking() -> Options {
    options().engine(EngineKind::Blocking)
}

/// The next entry's number, checked against its payload.
async fn next(replay: &mut Replay) -> groupwal::Result<Option<u64>> {
    Ok(replay.next().await?.map(|record| {
        assert_eq!(record.entry, Entry::Bytes(&payload(record.seq)));
        record.seq
    }))
}

#[test]
fn a_replay_begins_at_any_entry_also_in_the_middle_of_a_group() {
    let wal = open(&MemStorage::new(1)).unwrap();
    for first in (0..40).step_by(4) {
        let batch: Vec<_> = (first..first + 4).map(payload).collect();
        ready(wal.append_batch(&batch)).unwrap();
    }
    assert!(wal.segment_count() > 3);
    for from in 0..=40 {
        assert_eq!(replay_from(&wal, from).unwrap(), payloads(from..40));
    }
}

/// What was being written was shown before it was durable: readers saw what a crash then took back.
#[tokio::test]
async fn a_replay_shows_nothing_that_is_in_flight() {
    let plan = Plan::default();
    let storage = plan.over(MemStorage::new(1));
    let wal = Wal::open_with(storage, DIR, blocking()).await.unwrap();
    for seq in 0..3 {
        wal.append(&payload(seq)).await.unwrap();
    }
    let _gate = plan.shut_gate();
    let append = tokio::spawn({
        let wal = wal.clone();
        async move { wal.append(&payload(3)).await }
    });
    tokio::task::yield_now().await;
    plan.until_sync_waits();
    assert_eq!(wal.durable_seq(), 3);
    let mut replay = wal.replay(0);
    let mut ahead = wal.replay(3);
    for seq in 0..3 {
        assert_eq!(next(&mut replay).await.unwrap(), Some(seq));
    }
    assert_eq!(next(&mut replay).await.unwrap(), None);
    assert_eq!(next(&mut ahead).await.unwrap(), None);
    plan.open_gate();
    assert_eq!(append.await.unwrap().unwrap(), 3);
    assert_eq!(next(&mut replay).await.unwrap(), Some(3));
    assert_eq!(next(&mut ahead).await.unwrap(), Some(3));
    assert_eq!(next(&mut replay).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_follow_writers_over_many_segments() {
    const ENTRIES: u64 = 400;
    let wal = Wal::open_with(Arc::new(MemStorage::new(1)), DIR, blocking())
        .await
        .unwrap();
    let readers: Vec<_> = (0..3_u64)
        .map(|reader| {
            let mut replay = wal.replay(reader * 17);
            tokio::spawn(async move {
                let mut expected = reader * 17;
                while expected < ENTRIES {
                    match replay.next().await.unwrap() {
                        Some(record) => {
                            assert_eq!(record.seq, expected);
                            assert!(matches!(record.entry, Entry::Bytes(b) if b.len() == 300));
                            expected += 1;
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let wal = wal.clone();
            tokio::spawn(async move {
                for _ in 0..ENTRIES / 4 {
                    wal.append(&[number; 300]).await.unwrap();
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
}

#[test]
fn a_replay_that_has_caught_up_goes_on_where_it_was() {
    let wal = open(&MemStorage::new(1)).unwrap();
    let mut replay = wal.replay(0);
    let mut ahead = wal.replay(25);
    for seq in 0..30 {
        assert_eq!(ready(next(&mut replay)).unwrap(), None);
        append_all(&wal, seq..seq + 1);
        assert_eq!(ready(next(&mut replay)).unwrap(), Some(seq));
        assert_eq!(ready(next(&mut ahead)).unwrap(), (seq >= 25).then_some(seq));
    }
}

#[test]
fn a_replay_whose_entries_are_trimmed_under_it_says_so() {
    for spares in [0, 4] {
        let recycling = options().spare_segments_max(spares);
        let wal = open_with(Arc::new(MemStorage::new(1)), recycling).unwrap();
        append_all(&wal, 0..21);
        let mut replay = wal.replay(0);
        for seq in 0..5 {
            assert_eq!(ready(next(&mut replay)).unwrap(), Some(seq));
        }
        ready(wal.trim(14)).unwrap();
        // The files that were trimmed are used again at once.
        append_all(&wal, 21..60);
        let error = ready(replay.next()).unwrap_err();
        assert!(error.is_trimmed() && !error.is_corruption(), "{error}");
        assert_eq!(
            error.to_string(),
            "entry 5 has been trimmed: the oldest entry that can be replayed is 14"
        );
        assert_eq!(contents(&wal), payloads(14..60));
        assert!(replay_from(&wal, 13).unwrap_err().is_trimmed());
        // One that stands above the position notices nothing.
        let mut above = wal.replay(30);
        assert_eq!(ready(next(&mut above)).unwrap(), Some(30));
        ready(wal.trim(31)).unwrap();
        assert_eq!(ready(next(&mut above)).unwrap(), Some(31));
    }
}

#[tokio::test]
async fn a_call_of_next_that_is_dropped_loses_nothing() {
    let wal = Wal::open_with(Arc::new(MemStorage::new(1)), DIR, blocking())
        .await
        .unwrap();
    for seq in 0..20 {
        wal.append(&payload(seq)).await.unwrap();
    }
    let mut replay = wal.replay(2);
    for seq in 2..20 {
        for polls in 0..3 {
            let mut dropped = Box::pin(replay.next());
            for _ in 0..polls {
                let poll = std::future::poll_fn(|cx| {
                    Poll::Ready(dropped.as_mut().poll(cx).map(|record| {
                        let record = record.unwrap().unwrap();
                        (
                            record.seq,
                            record.entry == Entry::Bytes(&payload(record.seq)),
                        )
                    }))
                })
                .await;
                if let Poll::Ready(record) = poll {
                    // It was not dropped before its end: it counts.
                    assert_eq!(record, (seq, true));
                    break;
                }
            }
            drop(dropped);
            if replay_position(&replay) > seq {
                break;
            }
        }
        if replay_position(&replay) == seq {
            assert_eq!(next(&mut replay).await.unwrap(), Some(seq));
        }
    }
    assert_eq!(next(&mut replay).await.unwrap(), None);
}

/// The number of the entry that comes next.
fn replay_position(replay: &Replay) -> u64 {
    let shown = format!("{replay:?}");
    let digits = shown.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

#[test]
fn a_read_that_failed_can_be_repeated() {
    let plan = Plan::default();
    let wal = open_with(plan.over(MemStorage::new(1)), options()).unwrap();
    append_all(&wal, 0..20);
    let mut replay = wal.replay(0);
    let mut expected = 0;
    while expected < 20 {
        plan.fail(Op::Read, 0, EIO);
        match ready(next(&mut replay)) {
            Ok(seq) => {
                assert_eq!(seq, Some(expected));
                expected += 1;
            }
            Err(error) => {
                assert!(error.io_error().is_some() && !error.is_corruption());
                assert_eq!(ready(next(&mut replay)).unwrap(), Some(expected));
                expected += 1;
            }
        }
    }
    assert_eq!(ready(next(&mut replay)).unwrap(), None);
}

#[test]
fn a_durable_entry_that_cannot_be_read_is_corruption_and_not_the_end() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..10);
    let image = storage.snapshot();
    let broken = frames(&image).swap_remove(4);
    let file = storage.open(&segment_name(0)).unwrap();
    file.write_at(&[0xee], broken.offset as u64 + 70).unwrap();
    let mut replay = wal.replay(0);
    for seq in 0..4 {
        assert_eq!(ready(next(&mut replay)).unwrap(), Some(seq));
    }
    for _ in 0..2 {
        let error = ready(replay.next()).unwrap_err();
        assert!(error.is_corruption());
        let place = format!(
            "{DIR}/{} is corrupt at byte {}: ",
            segment_name(0),
            5 * BLOCK
        );
        assert!(error.to_string().starts_with(&place), "{error}");
    }
    // From behind the damage the same: frames are found one after another.
    assert!(replay_from(&wal, 5).unwrap_err().is_corruption());
}

/// At the end of each segment the replay took what it had read ahead for an answer, and then read
/// the next segment's first megabyte on the task's own worker thread.
#[tokio::test]
async fn the_blocking_engine_reads_on_no_worker_thread() {
    // Segments that are full to the last block, and ones with a block to spare.
    for len in [300, 700] {
        let plan = Plan::default();
        let storage = plan.over(MemStorage::new(1));
        let wal = Wal::open_with(storage, DIR, blocking()).await.unwrap();
        for _ in 0..40 {
            wal.append(&vec![7; len]).await.unwrap();
        }
        plan.take_events();
        let mut replay = wal.replay(0);
        for seq in 0..40 {
            assert_eq!(replay.next().await.unwrap().unwrap().seq, seq);
        }
        let here = std::thread::current().id();
        let events = plan.take_events();
        let reads = events.iter().filter(|event| event.op == Op::Read).count();
        assert!(reads >= wal.segment_count());
        assert!(events.iter().all(|event| event.thread != here));
    }
}

/// An image of a log whose first segment has a free block at its end, the number of the entry that follows
/// that segment, and what the log holds.
fn with_a_free_block() -> (Image, u64, Vec<(u64, Vec<u8>)>) {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    let blocks = u64::try_from(support::tiny::SEGMENT / BLOCK).unwrap() - 1;
    append_all(&wal, 0..blocks - 1);
    // It takes two blocks.
    ready(wal.append(&vec![7; 600])).unwrap();
    append_all(&wal, blocks..blocks + 2);
    let shown = contents(&wal);
    drop(wal);
    (storage.snapshot(), blocks - 1, shown)
}

/// A replay took a valid frame behind the end of a segment's log for the next one, and skipped the
/// entries between without a word. Recovery had gone on in the next segment. Found by fuzzing.
#[test]
fn a_frame_that_does_not_continue_the_log_is_not_shown() {
    let (mut image, next_seq, shown) = with_a_free_block();
    let stray = Header {
        payload_len: 0,
        entry_count: 1,
        group: 0,
        first_seq: next_seq + 1,
        durable_seq: 0,
        trim_seq: 0,
        seal: false,
        lost: false,
    };
    let segment = image.get_mut(&segment_name(0)).unwrap();
    let free = segment.len() - BLOCK;
    forge_frame(segment, free, stray, &opaque_payload(&[b"stray"]));
    let wal = open(&MemStorage::from_snapshot(&image, 2)).unwrap();
    assert_eq!(contents(&wal), shown);
}

/// What a failed write has left behind the end of a segment's log looks like the frame that comes next, down
/// to a payload that does not fit its checksum. The log went on in the next segment.
#[test]
fn a_torn_frame_does_not_hide_that_the_log_goes_on() {
    let (mut image, next_seq, shown) = with_a_free_block();
    let failed = Header {
        payload_len: 0,
        entry_count: 1,
        group: next_seq,
        first_seq: next_seq,
        durable_seq: 0,
        trim_seq: 0,
        seal: false,
        lost: false,
    };
    let segment = image.get_mut(&segment_name(0)).unwrap();
    let free = segment.len() - BLOCK;
    forge_frame(segment, free, failed, &opaque_payload(&[b"failed"]));
    segment[free + HEADER_BYTES + 9] ^= 1;
    let wal = open(&MemStorage::from_snapshot(&image, 2)).unwrap();
    assert_eq!(contents(&wal), shown);
    // The same where another thread reads ahead.
    let storage = MemStorage::from_snapshot(&image, 2);
    let wal = open_with(Arc::new(storage), blocking()).unwrap();
    assert_eq!(contents(&wal), shown);
}

/// The same where the number of the entry fits, but the group is another one: left behind by a log that
/// was cut there and written on.
#[test]
fn a_frame_of_another_group_is_none_of_the_logs() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..3);
    drop(wal);
    let mut image = storage.snapshot();
    let old = Header {
        payload_len: 0,
        entry_count: 1,
        group: 1,
        first_seq: 3,
        durable_seq: 0,
        trim_seq: 0,
        seal: false,
        lost: false,
    };
    let segment = image.get_mut(&segment_name(0)).unwrap();
    forge_frame(segment, 4 * BLOCK, old, &opaque_payload(&[b"old"]));
    let wal = open(&MemStorage::from_snapshot(&image, 2)).unwrap();
    assert_eq!(contents(&wal), payloads(0..3));
    // Nor if it comes to lie there later.
    let storage = MemStorage::from_snapshot(&image, 3);
    let wal = open(&storage).unwrap();
    append_all(&wal, 3..4);
    let file = storage.open(&segment_name(0)).unwrap();
    let at = 4 * BLOCK;
    file.write_at(&image[&segment_name(0)][at..at + BLOCK], at as u64)
        .unwrap();
    assert!(replay_from(&wal, 0).unwrap_err().is_corruption());
}

/// A crash may leave a segment without frames between two that have some. What was read of it is no
/// answer for the one behind it.
#[test]
fn a_replay_goes_over_a_segment_without_frames() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..10);
    assert_eq!(wal.segment_count(), 2);
    drop(wal);
    let mut image = storage.snapshot();
    let last = image.remove(&segment_name(1)).unwrap();
    let fields = segment_fields(&last).unwrap();
    let forge = |id, salt| forge_segment(1, BLOCK, last.len(), fields.log_id, id, salt);
    let mut moved = forge(2, fields.salt);
    moved[BLOCK..].copy_from_slice(&last[BLOCK..]);
    image.insert(segment_name(1), forge(1, !fields.salt));
    image.insert(segment_name(2), moved);
    let wal = open(&MemStorage::from_snapshot(&image, 2)).unwrap();
    for from in 0..=10 {
        assert_eq!(replay_from(&wal, from).unwrap(), payloads(from..10));
    }
}
