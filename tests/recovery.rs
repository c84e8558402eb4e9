//! What opening a log makes of a torn tail, and of damage that is none.

mod support;

use std::sync::Arc;

use support::fault::{Op, Plan};
use support::image::{self, frames, segment_name};
use support::mem::{Image, MemStorage};
use support::tiny::{
    BLOCK, SEGMENT, append_all, contents, open, open_image, open_with, options, payload, payloads,
    ready, replay_from,
};

/// A log of its own with entries `0..entries`, one a frame, that was not closed.
fn unsealed(entries: u64) -> Image {
    let storage = MemStorage::new(1);
    append_all(&open(&storage).unwrap(), 0..entries);
    storage.snapshot()
}

fn sealed(entries: u64) -> Image {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..entries);
    ready(wal.close()).unwrap();
    storage.snapshot()
}

/// Damages the payload of frame `group` and nothing else.
fn tear(image: &mut Image, group: u64) {
    let frame = frame(image, group);
    image.get_mut(&frame.file).unwrap()[frame.range().end - 1] ^= 0xff;
}

fn frame(image: &Image, group: u64) -> image::FrameAt {
    let mut all = frames(image).into_iter();
    all.find(|frame| frame.header.group == group).unwrap()
}

/// Opens a damaged log, expects a refusal that names this place, and checks that nothing has
/// changed. Returns the message.
#[track_caller]
fn refused_at(image: &Image, file: &str, offset: usize) -> String {
    let storage = MemStorage::from_snapshot(image, 5);
    let error = open(&storage).expect_err("acknowledged entries are damaged");
    let message = error.to_string();
    assert!(error.is_corruption(), "{message}");
    let place = format!("/log/{file} is corrupt at byte {offset}: ");
    assert!(message.starts_with(&place), "{message}");
    assert_eq!(&storage.snapshot(), image, "the directory was touched");
    message
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let mut image = unsealed(3);
    tear(&mut image, 2);
    let torn = frame(&image, 2);
    let wal = open_image(&image).unwrap();
    assert_eq!(contents(&wal), payloads(0..2));
    let report = wal.recovery();
    assert_eq!((report.next_seq, report.entries, report.groups), (2, 2, 2));
    let discarded = report.discarded.as_ref().unwrap();
    assert!(discarded.path.ends_with(&torn.file));
    assert_eq!(discarded.offset, torn.offset as u64);
    assert_eq!(discarded.entries, 1);
}

/// A group of three blocks was torn in its last block. Its header stayed valid, recovery skipped
/// the group, and the next append overwrote the first block only with something that made the old
/// frames behind valid again: entries came back that had been given up.
#[test]
fn what_was_cut_never_returns() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..2);
    ready(wal.append_batch(&[[7_u8; 600], [8; 600]])).unwrap();
    drop(wal);
    let mut image = storage.snapshot();
    tear(&mut image, 2);
    let storage = MemStorage::from_snapshot(&image, 2);
    for round in 0..4 {
        let wal = open(&storage).unwrap();
        assert_eq!(contents(&wal), payloads(0..2 + round), "round {round}");
        append_all(&wal, 2 + round..3 + round);
    }
}

/// What a read shows there may be younger than what is on the disk: a frame whose write failed may come back.
#[test]
fn the_block_in_which_the_log_goes_on_is_destroyed_whatever_it_shows() {
    for mut image in [unsealed(3), sealed(2)] {
        let end = frames(&image).last().unwrap().offset + BLOCK;
        let segment = image.get_mut(&segment_name(0)).unwrap();
        segment[end..end + 2 * BLOCK].fill(0xaa);
        let mut expected = segment.clone();
        expected[end..end + BLOCK].fill(0);
        let storage = MemStorage::from_snapshot(&image, 1);
        drop(open(&storage).unwrap());
        let found = &storage.snapshot()[&segment_name(0)];
        let differs = |block: &usize| {
            let block = block * BLOCK..(block + 1) * BLOCK;
            found[block.clone()] != expected[block]
        };
        let different: Vec<usize> = (0..SEGMENT / BLOCK).filter(differs).collect();
        assert_eq!(different, [0; 0], "blocks");
    }
}

/// Where the cut only moved the end of the log, the torn frame's header stayed behind it, and a
/// later recovery found it and took it for a witness of groups that never were.
#[test]
fn the_header_behind_the_cut_is_destroyed() {
    let mut image = unsealed(3);
    tear(&mut image, 2);
    let storage = MemStorage::from_snapshot(&image, 2);
    drop(open(&storage).unwrap());
    let left: Vec<u64> = frames(&storage.snapshot())
        .iter()
        .map(|frame| frame.header.group)
        .collect();
    assert_eq!(left, [0, 1]);
}

/// The last frame may be in the page cache only, or be held as clean by a kernel that failed to
/// write it: it was served, and a power cut took it back.
#[test]
fn the_frame_that_nothing_vouches_for_is_written_again_before_it_is_served() {
    let image = unsealed(10);
    let last = frame(&image, 9);
    let plan = Plan::default();
    let storage = plan.over(MemStorage::from_snapshot(&image, 2));
    let wal = open_with(storage, options()).unwrap();
    let events = plan.take_events();
    let written = events
        .iter()
        .position(|e| e.op == Op::Write && e.name == last.file && e.offset == last.offset as u64)
        .expect("the last frame is written again");
    assert!(events[written].bytes.len() >= last.range().len());
    assert_eq!(
        events[written].bytes[..last.range().len()],
        image[&last.file][last.range()]
    );
    let synced = |event: &support::fault::Event| event.op == Op::Sync && event.name == last.file;
    assert!(events[written..].iter().any(synced), "{events:?}");
    assert_eq!(contents(&wal), payloads(0..10));
}

/// The second group was damaged and the third one torn. The third one's header alone proves that
/// the second had been durable: cutting both would have lost an acknowledged entry in silence.
#[test]
fn a_torn_header_testifies_that_the_group_before_it_was_durable() {
    let mut image = unsealed(3);
    tear(&mut image, 1);
    tear(&mut image, 2);
    let broken = frame(&image, 1);
    let message = refused_at(&image, &broken.file, broken.offset);
    assert!(
        message.contains("1 acknowledged entries cannot be read"),
        "{message}"
    );
}

#[test]
fn damage_between_acknowledged_groups_refuses_to_open() {
    for group in 0..9 {
        let mut image = unsealed(10);
        let broken = frame(&image, group);
        image.get_mut(&broken.file).unwrap()[broken.offset] ^= 1;
        refused_at(&image, &broken.file, broken.offset);
    }
}

/// Segment 0's last groups were gone and segment 1 was intact; replaying both left a hole in the
/// middle of the log.
#[test]
fn a_missing_end_before_an_intact_segment_refuses_to_open() {
    let mut image = unsealed(10);
    let first = segment_name(0);
    let kept = BLOCK * 5;
    image.get_mut(&first).unwrap()[kept..].fill(0);
    refused_at(&image, &first, kept);
}

#[test]
fn damage_to_the_last_group_of_a_sealed_log_refuses_to_open() {
    let mut image = sealed(5);
    tear(&mut image, 4);
    let broken = frame(&image, 4);
    refused_at(&image, &broken.file, broken.offset);
}

#[test]
fn a_sealed_log_reopens_and_goes_on() {
    let storage = MemStorage::from_snapshot(&sealed(5), 2);
    for round in 0..3 {
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        append_all(&wal, 5 + round..6 + round);
        assert_eq!(contents(&wal), payloads(0..6 + round));
        ready(wal.close()).unwrap();
    }
}

#[test]
fn an_image_of_a_frame_inside_an_entry_is_not_a_frame() {
    let donor = unsealed(7);
    let wanted = frame(&donor, 3);
    // The same log, so log id and salt are right; an entry is laid out so that the image begins on
    // a block, where a frame would.
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..1);
    let mut entry = vec![0; BLOCK - groupwal::format::HEADER_BYTES - 5];
    entry.extend_from_slice(&donor[&wanted.file][wanted.range()]);
    ready(wal.append(&entry)).unwrap();
    drop(wal);
    let mut image = storage.snapshot();
    let groups: Vec<u64> = frames(&image).iter().map(|f| f.header.group).collect();
    assert_eq!(groups, [0, 1]);
    // Nor once the frame around it is broken.
    image.get_mut(&segment_name(0)).unwrap()[2 * BLOCK] ^= 1;
    assert_eq!(contents(&open_image(&image).unwrap()), payloads(0..1));
}

#[test]
fn a_read_error_is_an_error_and_not_a_torn_tail() {
    let image = unsealed(10);
    let plan = Plan::default();
    drop(open_with(
        plan.over(MemStorage::from_snapshot(&image, 2)),
        options(),
    ));
    let reads = plan.count(Op::Read);
    assert!(reads > 3);
    for nth in 0..reads {
        let storage = MemStorage::from_snapshot(&image, 2);
        let plan = Plan::default();
        plan.fail(Op::Read, nth, support::fault::EIO);
        let error = open_with(plan.over(storage.clone()), options()).unwrap_err();
        assert!(!error.is_corruption(), "{error}");
        assert_eq!(
            error.io_error().unwrap().raw_os_error(),
            Some(support::fault::EIO)
        );
        assert_eq!(storage.snapshot(), image);
        assert_eq!(contents(&open(&storage).unwrap()), payloads(0..10));
    }
}

#[test]
fn recovering_twice_gives_the_same_log() {
    let mut image = unsealed(10);
    tear(&mut image, 9);
    let storage = MemStorage::from_snapshot(&image, 2);
    let first = contents(&open(&storage).unwrap());
    let once = storage.snapshot();
    let wal = open(&storage).unwrap();
    assert_eq!(contents(&wal), first);
    assert_eq!(wal.recovery().discarded, None);
    assert_eq!(storage.snapshot(), once);
}

#[test]
fn a_second_opener_is_told_that_the_log_is_locked() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..2);
    let error = open(&storage).unwrap_err();
    assert!(error.is_locked());
    assert_eq!(
        error.to_string(),
        "the log is in use: /log/LOCK is locked by another handle or process; close that one first"
    );
    let clone = wal.clone();
    drop(wal);
    assert!(open(&storage).unwrap_err().is_locked(), "a clone owns it");
    drop(clone);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(0..2));
}

#[test]
fn existing_segments_keep_the_block_size_they_were_made_with() {
    let storage = MemStorage::new(1);
    append_all(&open(&storage).unwrap(), 0..3);
    let larger = options().block_bytes(2048).segment_bytes(16_384);
    for round in 0..3 {
        let wal = open_with(Arc::new(storage.clone()), larger.clone()).unwrap();
        append_all(&wal, 3 + 4 * round..7 + 4 * round);
        assert_eq!(contents(&wal), payloads(0..7 + 4 * round));
    }
    let image = storage.snapshot();
    let blocks: Vec<usize> = image::segment_names(&image)
        .iter()
        .map(|name| image::segment_fields(&image[name]).unwrap().block_bytes)
        .collect();
    assert_eq!(blocks, [512, 2048, 2048]);
    // Nor was its last frame padded to more than its own block.
    assert_eq!(image[&segment_name(0)].len(), SEGMENT);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(0..15));
}

#[test]
fn an_empty_segment_of_an_older_size_is_skipped_when_a_group_does_not_fit_it() {
    let small = options()
        .segment_bytes(1024)
        .entry_bytes_max(400)
        .group_bytes_max(448);
    let storage = MemStorage::new(1);
    drop(open_with(Arc::new(storage.clone()), small).unwrap());
    let wal = open(&storage).unwrap();
    ready(wal.append(&[1; 1000])).unwrap();
    drop(wal);
    for seq in 1..4 {
        let wal = open(&storage).unwrap();
        assert_eq!(replay_from(&wal, 0).unwrap()[0], (0, vec![1; 1000]));
        assert_eq!(ready(wal.append(&payload(seq))).unwrap(), seq);
    }
}
