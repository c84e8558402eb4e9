//! Files that were segments and become segments again: nothing old comes back, nothing else is kept.

mod support;

use std::sync::Arc;

use support::fault::Plan;
use support::image::{frames, segment_name, spare_names};
use support::mem::MemStorage;
use support::tiny::{
    BLOCK, SEGMENT, append_all, contents, open, open_with, options, payloads, ready,
};

fn recycling() -> groupwal::Options {
    options().spare_segments_max(2)
}

#[test]
fn a_recycled_segment_does_not_bring_its_old_frames_back() {
    let storage = MemStorage::new(1);
    let shared: Arc<MemStorage> = Arc::new(storage.clone());
    let wal = open_with(shared.clone(), recycling()).unwrap();
    append_all(&wal, 0..14);
    ready(wal.trim(14)).unwrap();
    assert_eq!(spare_names(&storage.snapshot()).len(), 2);
    // The trim took the first block of segment 2; the append that rotates takes a spare.
    append_all(&wal, 14..21);
    let image = storage.snapshot();
    assert_eq!(spare_names(&image).len(), 1);
    let newest = &image[&segment_name(3)];
    assert!(newest[2 * BLOCK..].iter().any(|byte| *byte != 0));
    let groups: Vec<u64> = frames(&image).iter().map(|f| f.header.group).collect();
    assert_eq!(groups, (14..22).collect::<Vec<_>>());
    drop(wal);
    let wal = open_with(shared, recycling()).unwrap();
    assert_eq!(wal.recovery().discarded, None);
    assert_eq!(contents(&wal), payloads(14..21));
}

/// Killed at each operation of a rotation that recycles: before the header is written, after it,
/// before and after the rename.
#[test]
fn a_crash_while_a_segment_is_recycled_brings_nothing_back() {
    for changes in 1..9 {
        let storage = MemStorage::new(1);
        let plan = Plan::default();
        let wal = open_with(plan.over(storage.clone()), recycling()).unwrap();
        append_all(&wal, 0..14);
        ready(wal.trim(14)).unwrap();
        append_all(&wal, 14..20);
        plan.die_after(changes);
        let acknowledged = ready(wal.append(&support::tiny::payload(20))).is_ok();
        drop(wal);
        for _ in 0..2 {
            let wal = open_with(Arc::new(storage.clone()), recycling()).unwrap();
            let found = contents(&wal);
            let end = 14 + found.len() as u64;
            assert_eq!(found, payloads(14..end));
            assert!(end == 21 || (end == 20 && !acknowledged), "{end}");
        }
    }
}

#[test]
fn spare_files_that_never_were_segments_are_removed() {
    let storage = MemStorage::new(1);
    drop(open(&storage).unwrap());
    let mut image = storage.snapshot();
    for (number, len) in [(3, SEGMENT), (4, 100), (9, SEGMENT), (12, SEGMENT)] {
        image.insert(format!("{number:020}.spare"), vec![0xab; len]);
    }
    image.insert("notes.txt".into(), b"not the log's".to_vec());
    let storage = MemStorage::from_snapshot(&image, 2);
    let wal = open_with(Arc::new(storage.clone()), recycling()).unwrap();
    assert_eq!(spare_names(&storage.snapshot()).len(), 0);
    append_all(&wal, 0..30);
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(0..30));
    assert!(storage.snapshot().contains_key("notes.txt"));
}

/// Its length was durable before it became a segment. A file that was still being prepared may be
/// short on the disk and long in the page cache.
#[test]
fn spare_files_that_were_segments_are_kept_and_used() {
    let storage = MemStorage::new(1);
    let wal = open_with(Arc::new(storage.clone()), recycling()).unwrap();
    append_all(&wal, 0..21);
    ready(wal.trim(21)).unwrap();
    drop(wal);
    let kept = spare_names(&storage.snapshot());
    assert_eq!(kept.len(), 2);
    let mut image = storage.snapshot();
    // A segment that was being prepared: its header is there, its number is yet to come.
    let newest = image.keys().rfind(|name| name.contains(".seg")).unwrap();
    let prepared = image[newest].clone();
    image.insert(format!("{:020}.spare", 0), prepared);
    let storage = MemStorage::from_snapshot(&image, 2);
    let wal = open_with(Arc::new(storage.clone()), recycling()).unwrap();
    assert_eq!(spare_names(&storage.snapshot()), kept);
    append_all(&wal, 21..35);
    assert_eq!(spare_names(&storage.snapshot()).len(), 0);
    assert_eq!(contents(&wal), payloads(21..35));
}

/// The highest number a file's name can bear was counted on from, which overflowed: the log did not
/// open. Found by fuzzing.
#[test]
fn a_spare_file_with_the_highest_number_is_removed() {
    let storage = MemStorage::new(1);
    drop(open(&storage).unwrap());
    let mut image = storage.snapshot();
    image.insert(format!("{}.spare", u64::MAX), vec![0xab; SEGMENT]);
    let storage = MemStorage::from_snapshot(&image, 2);
    let wal = open(&storage).unwrap();
    for number in 0..40_u8 {
        ready(wal.append(&vec![number; 300])).unwrap();
    }
    assert!(wal.segment_count() > 1, "it has rotated");
    assert_eq!(spare_names(&storage.snapshot()).len(), 0);
}
