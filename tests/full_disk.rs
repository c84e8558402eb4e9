//! A full disk: a log can free its own space, be closed and be opened again.
//!
//! Lone small entries filled a segment to its last block. Then the frame with a trim position needed a new
//! segment, for which there was no room, and so did the seal and every later opening.

mod stage;
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use groupwal::{EngineKind, Error, Options, SyncPolicy, Wal};
use stage::alone::{alone, is_root, skip};
use stage::os::{contents as read, engines, run};
use support::fault::Plan;
use support::image::segment_names;
use support::mem::MemStorage;
use support::tiny::{append_all, contents, open, open_with, options, payload, payloads, ready};

/// Bytes of an entry of which 32 fill a segment.
const LARGE: usize = 30_000;

/// A log of two segments on a full disk: the second one has no room for another entry.
fn full(options: Options) -> (Plan, MemStorage, Wal) {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let wal = open_with(plan.over(storage.clone()), options).unwrap();
    append_all(&wal, 0..14);
    plan.leave_room(0);
    is_refused(&ready(wal.append(&payload(14))).unwrap_err());
    (plan, storage, wal)
}

#[track_caller]
fn is_refused(error: &Error) {
    assert!(error.is_not_written() && error.is_disk_full(), "{error}");
    assert!(!error.is_poisoned(), "{error}");
}

#[test]
fn a_trim_that_frees_a_segment_works_and_the_log_goes_on_in_that_segment() {
    for spares in [0, 2] {
        let (_plan, storage, wal) = full(options().spare_segments_max(spares));
        ready(wal.trim(14)).unwrap();
        assert_eq!(wal.trim_seq(), 14);
        // For ever, as long as it is trimmed.
        for round in 2..10 {
            append_all(&wal, 7 * round..7 * round + 7);
            is_refused(&ready(wal.append(&payload(0))).unwrap_err());
            ready(wal.trim(7 * round + 7)).unwrap();
        }
        ready(wal.close()).unwrap();
        drop(wal);
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!((wal.trim_seq(), wal.durable_seq()), (70, 70));
    }
}

#[test]
fn a_full_log_can_be_closed_and_opened_again_as_often_as_one_likes() {
    let (plan, storage, wal) = full(options());
    ready(wal.close()).unwrap();
    drop(wal);
    for _ in 0..5 {
        let wal = open_with(plan.over(storage.clone()), options()).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal), payloads(0..14));
        is_refused(&ready(wal.append(&payload(14))).unwrap_err());
        ready(wal.close()).unwrap();
    }
    // A log that was closed can be trimmed all the same.
    let wal = open_with(plan.over(storage.clone()), options()).unwrap();
    ready(wal.trim(14)).unwrap();
    append_all(&wal, 14..21);
    ready(wal.close()).unwrap();
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(14..21));
}

/// There is no room to make it as long as it should be, nor for the record of how far the log went.
#[test]
fn a_full_log_whose_lock_is_too_short_can_be_closed() {
    for len in [0, 64] {
        let (_, storage, wal) = full(options());
        drop(wal);
        let mut image = storage.snapshot();
        image.get_mut("LOCK").unwrap().truncate(len);
        let (plan, storage) = (Plan::default(), MemStorage::from_snapshot(&image, 2));
        plan.leave_room(0);
        let wal = open_with(plan.over(storage.clone()), options()).unwrap();
        ready(wal.close()).unwrap();
        drop(wal);
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal), payloads(0..14));
    }
}

/// The entries from the position on were hidden, and the next group made that durable.
#[test]
fn a_trim_that_fails_hides_nothing() {
    let (plan, storage, wal) = full(options());
    // It frees no segment, so the reserve is not for it.
    is_refused(&ready(wal.trim(5)).unwrap_err());
    assert_eq!(wal.trim_seq(), 0);
    assert_eq!(contents(&wal), payloads(0..14));
    plan.free_space();
    append_all(&wal, 14..16);
    assert_eq!((wal.trim_seq(), contents(&wal)), (0, payloads(0..16)));
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(0..16));
}

/// Entries that share the trim's group are not written; the trim is.
#[tokio::test(start_paused = true)]
async fn a_trim_is_not_held_up_by_entries_that_find_no_room() {
    let policy = SyncPolicy::Batch {
        max_entries: 100,
        max_delay: Duration::from_secs(3600),
    };
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let options = options().policy(policy);
    let wal = open_with(plan.over(storage.clone()), options).unwrap();
    for seq in 0..14 {
        // A trim to a position that is trimmed already writes nothing, and makes the group go.
        let (payload, trim) = (payload(seq), wal.trim(0));
        let (appended, trimmed) = tokio::join!(wal.append(&payload), trim);
        assert_eq!(appended.unwrap(), seq);
        trimmed.unwrap();
    }
    plan.leave_room(0);
    let (payload, segments) = (payload(14), wal.segment_count());
    let (appended, trimmed) = tokio::join!(wal.append(&payload), wal.trim(14));
    is_refused(&appended.unwrap_err());
    trimmed.unwrap();
    assert_eq!((wal.trim_seq(), wal.segment_count()), (14, segments - 1));
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()), payloads(14..14));
}

/// A log of an earlier version has entries in every block. It opens on a full disk, says what to do, and
/// goes on when that has been done.
#[test]
fn a_log_without_a_reserve_opens_and_says_what_to_do() {
    let old = MemStorage::new(1);
    // One group fills a segment to its end, as any could then.
    let room = 10 * 512 - 512 - 64 - 5;
    let large = || options().group_bytes_max(room + 5).entry_bytes_max(room);
    let wal = open_with(Arc::new(old.clone()), large()).unwrap();
    for _ in 0..2 {
        ready(wal.append(&vec![7; room])).unwrap();
    }
    drop(wal);
    let mut image = old.snapshot();
    assert_eq!(segment_names(&image).len(), 2);
    image.insert("LOCK".into(), Vec::new());
    let storage = MemStorage::from_snapshot(&image, 2);
    let plan = Plan::default();
    plan.leave_room(0);
    let wal = open_with(plan.over(storage.clone()), large()).unwrap();
    let error = ready(wal.trim(2)).unwrap_err();
    is_refused(&error);
    assert!(
        error.to_string().contains("free some space first"),
        "{error}"
    );
    assert_eq!(wal.trim_seq(), 0);
    plan.leave_room(10 * 512 + 4096);
    ready(wal.trim(2)).unwrap();
    ready(wal.append(b"more")).unwrap();
    ready(wal.close()).unwrap();
}

/// What a log says that is poisoned on a full disk does not contradict itself.
#[test]
fn a_poisoned_log_does_not_say_that_it_goes_on() {
    let plan = Plan::default();
    let wal = open_with(plan.over(MemStorage::new(1)), options()).unwrap();
    plan.fail(support::fault::Op::Sync, 0, support::fault::ENOSPC);
    let unknown = ready(wal.append(b"x")).unwrap_err();
    let poisoned = ready(wal.append(b"x")).unwrap_err();
    assert!(unknown.is_outcome_unknown() && poisoned.is_poisoned());
    for error in [unknown, poisoned] {
        let message = error.to_string();
        assert!(message.contains("free some space first"), "{message}");
        for word in ["goes on by itself", "append again", "appended again"] {
            assert!(!message.contains(word), "{message}");
        }
    }
}

fn create(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).open(path)
}

/// A file system of its own in a file, mounted where nothing else of the machine sees it.
fn mount(at: &Path, kind: &str, mebibytes: u64) {
    let image = at.with_extension("img");
    let file = create(&image).unwrap();
    file.set_len(mebibytes << 20).unwrap();
    std::fs::create_dir(at).unwrap();
    let succeeds = |command: &mut Command| {
        let output = command.output().unwrap();
        let cried = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {cried}");
    };
    succeeds(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
    succeeds(
        Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(at),
    );
}

/// Fills what is left of the file system.
fn fill_up(path: &Path) {
    use std::io::Write;
    // There may be no room even for that.
    let Ok(mut ballast) = create(path) else {
        return;
    };
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0x5a; size];
        while ballast.write_all(&block).is_ok() {}
    }
    // What could not be written then cannot be synced either.
    drop(ballast.sync_all());
}

fn is_mountable(kind: &str) -> bool {
    let made = Command::new(format!("mkfs.{kind}"))
        .arg("--version")
        .output();
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !is_root() || made.is_err() || !has("unshare") || !Path::new("/dev/loop-control").exists() {
        skip(&format!(
            "needs root, mkfs.{kind}, unshare and loop devices"
        ));
        return false;
    }
    true
}

fn medium(engine: EngineKind) -> Options {
    Options::default()
        .engine(engine)
        .segment_bytes(1 << 20)
        .group_bytes_max(64 << 10)
        .entry_bytes_max(60 << 10)
        .spare_segments_max(0)
}

/// Appends until the disk is full, and says how many entries the log has then.
async fn append_until_full(wal: &Wal) -> u64 {
    for large in [true, false] {
        let entry = vec![1; if large { LARGE } else { 10 }];
        let error = loop {
            if let Err(error) = wal.append(&entry[..]).await {
                break error;
            }
        };
        is_refused(&error);
    }
    wal.durable_seq()
}

async fn outlive_a_full_disk(at: &Path, engine: EngineKind) {
    let (path, ballast) = (at.join("log"), at.join("ballast"));
    let wal = Wal::open(&path, medium(engine)).await.unwrap();
    while wal.segment_count() < 8 {
        wal.append(&vec![1; LARGE][..]).await.unwrap();
    }
    fill_up(&ballast);
    for _ in 0..3 {
        let entries = append_until_full(&wal).await;
        let left = wal.segment_count();
        wal.trim(entries).await.unwrap();
        assert!(wal.segment_count() < left);
        // Others take what was given back.
        fill_up(&at.join(format!("ballast-{entries}")));
        for _ in 0..10 {
            wal.append(&vec![2; LARGE][..]).await.unwrap();
        }
    }
    let (trimmed, entries) = (wal.trim_seq(), append_until_full(&wal).await);
    wal.close().await.unwrap();
    drop(wal);
    for _ in 0..3 {
        let wal = Wal::open(&path, medium(engine)).await.unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(read(&wal, trimmed).await.len() as u64, entries - trimmed);
        wal.close().await.unwrap();
    }
    let wal = Wal::open(&path, medium(engine)).await.unwrap();
    wal.trim(entries).await.unwrap();
    assert_eq!(wal.append(b"goes on").await.unwrap(), entries);
}

fn outlives_a_full(kind: &str, mebibytes: u64) {
    if !is_mountable(kind) || !alone(&["unshare", "--mount", "--propagation", "private"]) {
        return;
    }
    for engine in engines() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        mount(&at, kind, mebibytes);
        run(outlive_a_full_disk(&at, engine));
        assert!(Command::new("umount").arg(&at).status().unwrap().success());
    }
}

#[test]
fn a_log_outlives_a_full_ext4() {
    outlives_a_full("ext4", 24);
}

#[test]
fn a_log_outlives_a_full_xfs() {
    outlives_a_full("xfs", 300);
}

/// Btrfs writes every block to a new place, so a full one refuses also what overwrites. The log says that, and
/// goes on, reopened, once there is room. Nothing acknowledged is lost.
#[test]
fn a_full_btrfs_is_a_clear_error_and_costs_nothing() {
    let kind = "btrfs";
    if !is_mountable(kind) || !alone(&["unshare", "--mount", "--propagation", "private"]) {
        return;
    }
    for engine in engines() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        mount(&at, kind, 128);
        run(async {
            let (path, ballast) = (at.join("log"), at.join("ballast"));
            let wal = Wal::open(&path, medium(engine)).await.unwrap();
            for _ in 0..100 {
                wal.append(&vec![1; LARGE][..]).await.unwrap();
            }
            fill_up(&ballast);
            let error = loop {
                if let Err(error) = wal.append(&[2; 3_000][..]).await {
                    break error;
                }
            };
            assert!(error.is_disk_full(), "{error}");
            assert!(
                error.to_string().contains("free some space first"),
                "{error}"
            );
            let durable = wal.durable_seq();
            drop(wal);
            if let Err(error) = Wal::open(&path, medium(engine)).await {
                assert!(error.is_disk_full(), "{error}");
                assert!(
                    error.to_string().contains("free some space first"),
                    "{error}"
                );
            }
            std::fs::remove_file(&ballast).unwrap();
            let wal = Wal::open(&path, medium(engine)).await.unwrap();
            assert!(wal.durable_seq() >= durable);
            wal.append(b"goes on").await.unwrap();
            wal.trim(durable).await.unwrap();
            wal.close().await.unwrap();
        });
        assert!(Command::new("umount").arg(&at).status().unwrap().success());
    }
}
