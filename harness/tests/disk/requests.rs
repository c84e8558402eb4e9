//! Discards reach the disk, and failed flushes and writes reach the sync that asked for them.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FallocateFlags, fallocate};
use plugpull::disk::{Crashes, Disk, FaultPlan, FileSystem, Image, Sampling};

use crate::machine::{can, possible, site};

#[test]
fn a_discard_reaches_the_disk_and_is_a_write_like_any_other() {
    let ext4 = FileSystem::ext4();
    if !can("a discard", &ext4) {
        return;
    }
    let site = site();
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)));
    let disk = disk.expect("a disk");
    let options = File::options().read(true).write(true).open(disk.path());
    let mut device = options.expect("opened");
    device.write_all(&[7; 16384]).expect("written");
    device.sync_all().expect("synced");
    disk.start_recording();
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&device, hole, 4096, 8192).expect("discarded");
    device.sync_all().expect("synced");
    let recording = disk.stop_recording().expect("it was begun");
    let there = |image: &Image| [0, 1, 2, 3].map(|page| image.page_bytes(page).is_some());
    assert_eq!(there(&recording.base), [true; 4]);
    assert_eq!(there(&disk.image()), [true, false, false, true]);
    assert_eq!(
        there(&recording.image_at(recording.end)),
        [true, false, false, true]
    );
    let ranges = recording.entries.iter().map(|entry| entry.request.range());
    assert_eq!(ranges.collect::<Vec<_>>(), [Some((4096, 8192)), None]);
    let crashes = Crashes::new(&recording, &Sampling::prefixes());
    let possible = |index| {
        crashes
            .states()
            .iter()
            .filter(move |state| state.is_possible_at(index))
    };
    assert_eq!(possible(recording.start + 1).count(), 2, "until the flush");
    assert_eq!(possible(recording.end).count(), 1);
}

#[test]
fn a_flush_that_fails_reaches_the_sync_that_asked_for_it() {
    for file_system in possible("a flush that fails") {
        let site = site();
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock).expect("a disk");
        disk.format(&file_system).expect("formatted");
        let mounted = disk.mount(&file_system).expect("mounted");
        let mut file = File::create(mounted.path().join("file")).expect("created");
        file.write_all(&[1; 5000]).expect("written");
        file.sync_all().expect("nothing is planned yet");
        disk.start_recording();
        disk.plan_faults(FaultPlan::default().fail_flush(1).for_good());
        file.write_all(&[2; 5000]).expect("into the page cache");
        let error = file.sync_all().expect_err("the flush fails");
        let kind = file_system.kind;
        assert_eq!(error.raw_os_error(), Some(5), "{kind}: {error}");
        assert!(disk.faults() > 0);
        let recording = disk.stop_recording().expect("it was begun");
        let failed = recording
            .entries
            .iter()
            .filter(|entry| entry.failed)
            .count();
        assert!(failed > 0, "{kind}: the recording knows");
        assert_eq!(recording.flushes(), 0, "{kind}: nothing has become durable");
    }
}

#[test]
fn a_write_that_fails_reaches_the_sync_that_asked_for_it() {
    let ext4 = FileSystem::ext4();
    if !can("a write that fails", &ext4) {
        return;
    }
    let site = site();
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)));
    let disk = disk.expect("a disk");
    disk.format(&ext4).expect("formatted");
    let mounted = disk.mount(&ext4).expect("mounted");
    let mut file = File::create(mounted.path().join("file")).expect("created");
    file.write_all(&[1; 4096]).expect("written");
    file.sync_all().expect("nothing is planned yet");
    disk.plan_faults(FaultPlan::default().fail_write(1));
    file.rewind().expect("rewound");
    file.write_all(&[2; 4096]).expect("into the page cache");
    let error = file.sync_data().expect_err("the write fails");
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert_eq!(disk.faults(), 1, "one and no more");
}
