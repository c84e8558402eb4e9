//! A log's directory is moved, replaced or removed while the log is in use.
//!
//! Names were resolved again at every rename and removal, by the path that the log had been opened with. A
//! log whose directory had been moved aside trimmed and recycled the segments of the one that had begun in
//! its place, and that one went on acknowledging entries into files without a name.

mod stage;

use std::fs;
use std::path::Path;

use groupwal::{Error, Wal};
use stage::alone::alone;
use stage::os::{contents, engines, files, fill, run, scratch, small};

/// Appends until it fails, and says how many were acknowledged before.
async fn append_until_refused(wal: &Wal) -> (u64, Error) {
    for acked in 0..100 {
        if let Err(error) = wal.append(&[9; 7000][..]).await {
            return (acked, error);
        }
    }
    panic!("100 entries were acknowledged");
}

/// The message of a log that has stopped names the file and the way out.
#[track_caller]
fn is_displaced(error: &Error, dir: &Path) {
    assert!(error.is_displaced(), "{error}");
    let message = error.to_string();
    for part in [dir.to_str().unwrap(), "Open it again where its files are"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_log_whose_directory_is_moved_goes_on_there_and_leaves_its_successor_alone() {
    for engine in engines() {
        run(async {
            let dir = scratch();
            let (old, new) = (dir.path().join("log.old"), dir.path().join("log"));
            let first = Wal::open(&new, small(engine)).await.unwrap();
            fill(&first, 1, 25).await;
            fs::rename(&new, &old).unwrap();
            let second = Wal::open(&new, small(engine)).await.unwrap();
            fill(&second, 2, 30).await;
            let before = files(&new, ".seg");
            let entries = second.durable_seq();

            // It trims, recycles, rotates and closes.
            first.trim(first.durable_seq()).await.unwrap();
            assert_eq!(first.segment_count(), 1);
            let from = first.durable_seq();
            fill(&first, 3, 10).await;
            first.close().await.unwrap();
            assert_eq!(files(&new, ".seg"), before);
            assert_eq!(contents(&second, 0).await.len() as u64, entries);
            second.append(b"more").await.unwrap();
            drop((first, second));

            let second = Wal::open(&new, small(engine)).await.unwrap();
            assert_eq!(contents(&second, 0).await.len() as u64, entries + 1);
            let first = Wal::open(&old, small(engine)).await.unwrap();
            assert!(first.recovery().sealed);
            let found = contents(&first, from).await;
            assert!(found.len() > 50 && found.values().all(|entry| entry[0] == 3));
        });
    }
}

#[test]
fn a_relative_path_means_the_same_directory_after_a_change_of_the_working_directory() {
    if !alone(&[]) {
        return;
    }
    for engine in engines() {
        run(async {
            let dir = scratch();
            for name in ["one", "two"] {
                fs::create_dir(dir.path().join(name)).unwrap();
            }
            std::env::set_current_dir(dir.path().join("one")).unwrap();
            let first = Wal::open("log", small(engine)).await.unwrap();
            fill(&first, 1, 25).await;
            std::env::set_current_dir(dir.path().join("two")).unwrap();
            let second = Wal::open("log", small(engine)).await.unwrap();
            fill(&second, 2, 30).await;
            first.trim(first.durable_seq()).await.unwrap();
            fill(&first, 1, 5).await;
            first.replay(first.trim_seq()).next().await.unwrap();
            let entries = second.durable_seq();
            assert_eq!(contents(&second, 0).await.len() as u64, entries);
            drop((first, second));
            let second = Wal::open(dir.path().join("two/log"), small(engine)).await;
            let found = contents(&second.unwrap(), 0).await;
            assert_eq!(found.len() as u64, entries);
            let error = Wal::open("../one/log/LOCK", small(engine))
                .await
                .unwrap_err();
            let absolute = dir.path().join("two");
            assert!(
                error.to_string().contains(absolute.to_str().unwrap()),
                "{error}"
            );
        });
    }
}

/// What is acknowledged before the log notices is in files without a name, and lost with them; that is
/// documented. No later than at the next rotation it notices.
#[test]
fn a_log_whose_directory_is_removed_stops_at_the_next_rotation() {
    for engine in engines() {
        run(async {
            let dir = scratch();
            let path = dir.path().join("log");
            let wal = Wal::open(&path, small(engine)).await.unwrap();
            wal.append(b"x").await.unwrap();
            fs::remove_dir_all(&path).unwrap();
            let (acked, error) = append_until_refused(&wal).await;
            assert!(acked < 7, "{acked} acknowledged: more than a segment holds");
            is_displaced(&error, &path);
            assert!(error.is_not_written());
            for error in [
                wal.append(b"more").await.unwrap_err(),
                wal.close().await.unwrap_err(),
            ] {
                is_displaced(&error, &path);
            }
            drop(wal);
            // The advice: what is there now is opened.
            let wal = Wal::open(&path, small(engine)).await.unwrap();
            assert_eq!(wal.append(b"new").await.unwrap(), 0);
        });
    }
}

#[test]
fn a_removed_directory_is_noticed_by_a_trim_and_by_closing() {
    for engine in engines() {
        run(async {
            for trims in [true, false] {
                let dir = scratch();
                let path = dir.path().join("log");
                let wal = Wal::open(&path, small(engine)).await.unwrap();
                fill(&wal, 1, 3).await;
                wal.append(b"x").await.unwrap();
                fs::remove_dir_all(&path).unwrap();
                let error = if trims {
                    wal.trim(wal.durable_seq()).await.unwrap_err()
                } else {
                    wal.close().await.unwrap_err()
                };
                is_displaced(&error, &path);
                assert!(wal.append(b"more").await.unwrap_err().is_not_written());
            }
        });
    }
}

#[test]
fn a_log_whose_lock_is_replaced_changes_no_name_any_more() {
    for engine in engines() {
        run(async {
            let dir = scratch();
            let wal = Wal::open(dir.path(), small(engine)).await.unwrap();
            fill(&wal, 1, 5).await;
            fs::remove_file(dir.path().join("LOCK")).unwrap();
            fs::write(dir.path().join("LOCK"), b"").unwrap();
            let before = files(dir.path(), "");
            let error = wal.trim(wal.durable_seq()).await.unwrap_err();
            is_displaced(&error, dir.path());
            assert_eq!(files(dir.path(), ""), before);
            assert!(wal.append(b"more").await.unwrap_err().is_displaced());
            let entries = wal.durable_seq();
            drop(wal);
            let wal = Wal::open(dir.path(), small(engine)).await.unwrap();
            assert_eq!(contents(&wal, 0).await.len() as u64, entries);
        });
    }
}

/// The directory is there, and the newest segment has been removed from it.
#[test]
fn no_group_goes_behind_a_segment_that_has_lost_its_name() {
    for engine in engines() {
        run(async {
            let dir = scratch();
            let wal = Wal::open(dir.path(), small(engine)).await.unwrap();
            fill(&wal, 1, 3).await;
            let newest = dir.path().join(format!("{:020}.seg", 2));
            fs::remove_file(&newest).unwrap();
            let (acked, error) = append_until_refused(&wal).await;
            assert!(acked < 7, "{acked} acknowledged: more than a segment holds");
            is_displaced(&error, &newest);
        });
    }
}

/// A replay opens older segments again by their names.
#[test]
fn a_replay_reads_no_other_file_under_a_segments_name() {
    run(async {
        let (dir, other) = (scratch(), scratch());
        for (path, byte) in [(dir.path(), 1), (other.path(), 2)] {
            let wal = Wal::open(path, small(engines()[0])).await.unwrap();
            fill(&wal, byte, 30).await;
            wal.close().await.unwrap();
        }
        let wal = Wal::open(dir.path(), small(engines()[0])).await.unwrap();
        let first = format!("{:020}.seg", 0);
        fs::rename(other.path().join(&first), dir.path().join(&first)).unwrap();
        let mut replay = wal.replay(0);
        let shown = replay
            .next()
            .await
            .map(|record| record.map(|record| record.seq));
        let error = shown.expect_err("it has shown another log's entry");
        assert!(
            error.to_string().contains("is not the file that it was"),
            "{error}"
        );
    });
}
