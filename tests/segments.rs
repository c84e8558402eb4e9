//! What opening a log makes of the files in its directory: missing, left over, swapped.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use groupwal::Wal;
use support::fault::{EIO, Op, Plan};
use support::image::{forge_segment, frames, segment_name, segment_names, spare_names};
use support::mem::{Image, MemStorage};
use support::tiny::{
    BLOCK, SEGMENT, append_all, contents, open, open_image, open_with, options, payloads, ready,
};

const SEGMENT_HEADER: usize = 64;
/// Frames of one block that fit a segment.
const FRAMES: u64 = 7;

/// A log with `segments` full segments.
fn full(segments: u64, seed: u64) -> (MemStorage, Wal) {
    let storage = MemStorage::new(seed);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..segments * FRAMES);
    (storage, wal)
}

/// A log with five segments whose trim below `trim_seq` was interrupted before the first file went.
fn trim_interrupted(trim_seq: u64) -> Image {
    let (storage, wal) = full(4, 1);
    drop(wal);
    let plan = Plan::default();
    let wal = open_with(plan.over(storage.clone()), options()).unwrap();
    plan.fail(Op::Remove, 0, EIO);
    assert!(ready(wal.trim(trim_seq)).is_err());
    let image = storage.snapshot();
    assert_eq!(segment_names(&image).len(), 5);
    image
}

fn without(image: &Image, segments: impl IntoIterator<Item = u64>) -> Image {
    let mut image = image.clone();
    for id in segments {
        image.remove(&segment_name(id)).unwrap();
    }
    image
}

#[track_caller]
fn refused(image: &Image) -> String {
    let storage = MemStorage::from_snapshot(image, 5);
    let error = open(&storage).expect_err("the log is damaged");
    assert!(error.is_corruption(), "{error}");
    assert_eq!(&storage.snapshot(), image, "the directory was touched");
    error.to_string()
}

/// Opens, appends and opens again: whatever was found stays, and the log goes on.
#[track_caller]
fn goes_on(image: &Image, seqs: std::ops::Range<u64>) {
    let storage = MemStorage::from_snapshot(image, 5);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(seqs.clone()));
    let wal = open(&storage).unwrap();
    assert_eq!(contents(&wal), payloads(seqs.clone()));
    append_all(&wal, seqs.end..seqs.end + 3);
    drop(wal);
    let wal = open(&storage).unwrap();
    assert_eq!(contents(&wal), payloads(seqs.start..seqs.end + 3));
}

#[test]
fn a_missing_segment_refuses_to_open_unless_its_entries_were_trimmed() {
    let (storage, _wal) = full(4, 1);
    let image = storage.snapshot();
    for id in 0..3 {
        let message = refused(&without(&image, [id]));
        assert!(message.contains(".seg is corrupt at byte"), "{message}");
    }
    refused(&without(&image, [0, 1]));
    let trimmed = trim_interrupted(14);
    goes_on(&without(&trimmed, [1]), 14..28);
    refused(&without(&trimmed, [2]));
    refused(&without(&trimmed, [0, 1, 2]));
    refused(&without(&trim_interrupted(13), [0, 1]));
}

/// Unlinking oldest first is no order that a power cut keeps.
#[test]
fn a_trim_interrupted_with_any_subset_of_its_files_gone_opens() {
    let image = trim_interrupted(21);
    for subset in 0..8_u64 {
        let gone = (0..3).filter(|id| subset & (1 << id) != 0);
        goes_on(&without(&image, gone), 21..28);
    }
}

#[test]
fn segments_left_over_below_the_trim_position_are_removed() {
    for subset in [0b000, 0b010, 0b100, 0b011_u64] {
        let gone = (0..3).filter(|id| subset & (1 << id) != 0);
        let storage = MemStorage::from_snapshot(&without(&trim_interrupted(21), gone), 5);
        let wal = open(&storage).unwrap();
        assert_eq!(wal.trim_seq(), 21);
        assert_eq!(
            segment_names(&storage.snapshot()),
            [segment_name(3), segment_name(4)]
        );
    }
}

#[test]
fn a_crash_right_after_rotation_goes_on_in_the_new_segment() {
    let (storage, wal) = full(1, 1);
    drop(wal);
    let plan = Plan::default();
    let wal = open_with(plan.over(storage.clone()), options()).unwrap();
    // The new segment is filled and given its header; its first frame is never written.
    plan.fail(Op::Write, 2, EIO);
    plan.fail(Op::Write, 3, EIO);
    assert!(ready(wal.append(b"lost")).unwrap_err().is_outcome_unknown());
    drop(wal);
    let image = storage.snapshot();
    assert_eq!(segment_names(&image).len(), 2);
    goes_on(&image, 0..7);
    let wal = open_image(&image).unwrap();
    append_all(&wal, 7..8);
    assert_eq!(wal.segment_count(), 2);
}

/// The segment with the trim position was removed although the only segment behind it was still
/// empty: an empty segment cannot say where the log begins, and the next open refused it. It took
/// a trim of everything in the last block of a segment, and a crash right after the rotation that
/// followed. Only segments before the newest one with a frame are removed now.
#[test]
fn opening_keeps_the_newest_segment_that_has_a_frame() {
    let storage = MemStorage::new(1);
    let plan = Plan::default();
    let wal = open_with(plan.over(storage.clone()), options()).unwrap();
    append_all(&wal, 0..6);
    ready(wal.trim(6)).unwrap();
    plan.fail(Op::Write, 2, EIO);
    plan.fail(Op::Write, 3, EIO);
    assert!(ready(wal.append(b"lost")).is_err());
    drop(wal);
    let image = storage.snapshot();
    assert_eq!(segment_names(&image).len(), 2);
    goes_on(&image, 6..6);
}

/// The same, while the log runs: a rotation overtook a trim between its frame and its removals, and
/// the process died before the new segment's first frame was durable.
#[tokio::test]
async fn a_trim_that_a_rotation_overtakes_keeps_the_newest_segment_that_has_a_frame() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let blocking = options().engine(groupwal::EngineKind::Blocking);
    let wal = Wal::open_with(plan.over(storage.clone()), support::tiny::DIR, blocking)
        .await
        .unwrap();
    for seq in 0..6 {
        let entry = support::tiny::payload(seq);
        assert_eq!(wal.append(&entry).await.unwrap(), seq);
    }
    while segment_names(&storage.snapshot()).len() < 2 {
        // The next segment is being made ready.
        tokio::task::yield_now().await;
    }
    let mut trim = Box::pin(wal.trim(6));
    // Behind the trim's frame: the new segment's first frame, and the roll-back of that.
    plan.fail(Op::Write, 1, EIO);
    plan.fail(Op::Write, 2, EIO);
    let _gate = plan.shut_gate();
    let polled = std::future::poll_fn(|cx| Poll::Ready(trim.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    plan.until_sync_waits();
    plan.open_gate();
    assert!(wal.append(b"lost").await.unwrap_err().is_outcome_unknown());
    trim.await.unwrap();
    goes_on(&storage.snapshot(), 6..6);
}

#[test]
fn an_invalid_header_under_a_final_name_refuses_to_open() {
    let (storage, _wal) = full(2, 1);
    let image = storage.snapshot();
    for id in 0..2 {
        for at in [0, 8, 13, 16, 24, 40, 48, 63] {
            let mut image = image.clone();
            image.get_mut(&segment_name(id)).unwrap()[at] ^= 4;
            let message = refused(&image);
            let place = format!("/log/{} is corrupt at byte 0: ", segment_name(id));
            assert!(message.starts_with(&place), "{message}");
        }
        for len in [SEGMENT_HEADER, SEGMENT - 1] {
            let mut short = image.clone();
            short.get_mut(&segment_name(id)).unwrap().truncate(len);
            assert!(refused(&short).contains("its end is missing"));
        }
        for len in [0, SEGMENT_HEADER - 1] {
            let mut short = image.clone();
            short.get_mut(&segment_name(id)).unwrap().truncate(len);
            assert!(refused(&short).contains("too short for a segment header"));
        }
    }
}

/// Each of them breaks one rule, with a good checksum.
#[test]
fn a_header_that_no_log_writes_refuses_to_open() {
    const ID_MAX: u64 = 1 << 63;
    for (block_bytes, len, id) in [
        (256, SEGMENT, 0),
        (1 << 17, 1 << 18, 0),
        (1000, 4000, 0),
        (BLOCK, SEGMENT + 1, 0),
        (BLOCK, SEGMENT, ID_MAX),
    ] {
        let bytes = forge_segment(1, block_bytes, len, [7; 16], id, 1);
        let image = Image::from([("LOCK".into(), vec![]), (segment_name(id), bytes)]);
        let message = refused(&image);
        assert!(
            message.contains("none that a log writes"),
            "{block_bytes}, {len}, {id}: {message}"
        );
    }
    let bytes = forge_segment(1, BLOCK, SEGMENT, [7; 16], 0, 1);
    open_image(&Image::from([(segment_name(0), bytes)])).unwrap();
}

#[test]
fn a_newer_format_version_is_named() {
    let (storage, wal) = full(1, 1);
    drop(wal);
    let mut image = storage.snapshot();
    let bytes = image.get_mut(&segment_name(0)).unwrap();
    bytes[8] = 2;
    let checksum = crc_fast::crc64_nvme(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    let error = open_image(&image).unwrap_err();
    assert!(!error.is_corruption());
    assert_eq!(
        error.to_string(),
        "/log/00000000000000000000.seg is written in format version 2, this version reads 1: use a \
         newer groupwal"
    );
}

#[test]
fn renamed_and_swapped_segments_refuse_to_open() {
    let (storage, _wal) = full(3, 1);
    let image = storage.snapshot();
    let mut swapped = image.clone();
    let (first, second) = (segment_name(0), segment_name(1));
    swapped.insert(first.clone(), image[&second].clone());
    swapped.insert(second, image[&first].clone());
    assert!(refused(&swapped).contains("it was renamed"));
    let mut renamed = without(&image, [2]);
    renamed.insert(segment_name(3), image[&segment_name(2)].clone());
    assert!(refused(&renamed).contains("it was renamed"));
}

#[test]
fn a_segment_of_another_log_refuses_to_open() {
    let (storage, _wal) = full(3, 1);
    let (other, _wal) = full(3, 2);
    for id in 0..3 {
        let mut image = storage.snapshot();
        image.insert(
            segment_name(id),
            other.snapshot()[&segment_name(id)].clone(),
        );
        let refusal = refused(&image);
        assert!(refusal.contains("another log"), "{refusal}");
    }
}

/// The trim position was lost with the frame that carried it, and its segments had gone: a log
/// that began at entry 0 was made of what was left, and the position of every entry shifted.
#[test]
fn a_damaged_trim_frame_is_not_lost_in_silence() {
    let (storage, wal) = full(2, 1);
    ready(wal.trim(7)).unwrap();
    drop(wal);
    let image = storage.snapshot();
    let trim = frames(&image).pop().unwrap();
    assert_eq!((trim.header.entry_count, trim.header.trim_seq), (0, 7));
    for at in [0, 40, 63] {
        let mut image = image.clone();
        image.get_mut(&trim.file).unwrap()[trim.offset + at] ^= 1;
        let message = refused(&image);
        assert!(
            message.contains("no frame says that its entries were trimmed"),
            "{message}"
        );
    }
}

/// Left-over segments were recycled under the number of a spare file that lay there already; the
/// file was replaced, then taken for somebody else's and removed while it was still counted as a
/// spare, and the next rotation failed on it. Spare files are now adopted first.
#[test]
fn left_over_segments_are_recycled_beside_the_spare_files_of_an_earlier_run() {
    let mut image = without(&trim_interrupted(21), [2]);
    image.insert(format!("{:020}.spare", 1), vec![0xab; SEGMENT]);
    let storage = MemStorage::from_snapshot(&image, 2);
    let wal = open_with(Arc::new(storage.clone()), options().spare_segments_max(2)).unwrap();
    assert_eq!(spare_names(&storage.snapshot()).len(), 2);
    append_all(&wal, 28..60);
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(21..60));
}

/// It had each of them open for as long as it lived, and where a thousand open files are allowed it could not be
/// opened again after five hundred segments.
#[test]
fn a_log_has_few_files_open_however_many_segments_it_has() {
    const MANY: u64 = 100;
    let (storage, wal) = full(MANY, 1);
    assert_eq!(contents(&wal), payloads(0..MANY * FRAMES));
    ready(wal.trim(FRAMES * MANY / 2)).unwrap();
    drop(wal);
    let wal = open(&storage).unwrap();
    assert_eq!(contents(&wal), payloads(FRAMES * MANY / 2..MANY * FRAMES));
    ready(wal.trim(FRAMES * MANY)).unwrap();
    // Those that rest, those that are on their way out, and what is always open.
    let most = storage.most_open();
    assert!((16..40).contains(&most), "{most}");
}

/// A trim takes away the segment in which a replay has come to the end. There was room for another frame, and
/// the replay opened the file again to look for it.
#[test]
fn a_replay_at_the_end_of_a_segment_that_is_taken_away_goes_on_behind_it() {
    // As many frames as a replay's first read brings, and one free block.
    const FRAMES: u64 = 32;
    let options = options().segment_bytes((1 + FRAMES + 1) * BLOCK as u64);
    let storage = MemStorage::new(2);
    let wal = open_with(Arc::new(storage.clone()), options).unwrap();
    append_all(&wal, 0..FRAMES);
    let of_two_blocks = [1; BLOCK];
    assert_eq!(ready(wal.append(&of_two_blocks)).unwrap(), FRAMES);
    append_all(&wal, FRAMES + 1..20 * FRAMES);

    let mut replay = wal.replay(0);
    for seq in 0..FRAMES {
        assert_eq!(ready(replay.next()).unwrap().unwrap().seq, seq);
    }
    ready(wal.trim(FRAMES)).unwrap();
    assert!(!storage.snapshot().contains_key(&segment_name(0)));
    // Others are read, until that segment's file is closed.
    assert_eq!(contents(&wal).len() as u64, 19 * FRAMES);
    assert_eq!(ready(replay.next()).unwrap().unwrap().seq, FRAMES);
}
