//! Work that is never run.

use std::sync::Arc;

use crate::executors::{InPlace, on, policies, soon};
use crate::support::mem::MemStorage;
use crate::support::tiny::{append_all, contents, open, open_with, payloads, ready};

#[test]
fn an_open_whose_work_is_dropped_is_an_error_and_can_be_repeated() {
    let (executor, storage) = (InPlace::new(0), MemStorage::new(1));
    let options = on(&executor);
    let error = open_with(Arc::new(storage.clone()), options.clone()).unwrap_err();
    let dropped = "the executor dropped work of the log unrun (Options::executor)";
    assert_eq!(error.to_string(), dropped);
    assert!(storage.snapshot().is_empty(), "something was created");
    executor.allow(1);
    open_with(Arc::new(storage), options).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_unrun_writes_nothing_and_the_log_goes_on() {
    for policy in policies() {
        let (executor, storage) = (InPlace::new(1), MemStorage::new(1));
        let options = on(&executor).policy(policy);
        let wal = open_with(Arc::new(storage.clone()), options).unwrap();
        let fresh = storage.snapshot();
        let append_five = || {
            [0_u8, 1, 2, 3, 4].map(|number| {
                let wal = wal.clone();
                tokio::spawn(async move { wal.append(&[number; 900]).await })
            })
        };
        for append in append_five() {
            let error = soon(append).await.unwrap().unwrap_err();
            assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
            assert!(error.to_string().ends_with("(Options::executor)"));
        }
        assert!(soon(wal.trim(0)).await.unwrap_err().is_not_written());
        assert_eq!(storage.snapshot(), fresh);

        executor.allow(usize::MAX);
        let mut seqs = Vec::new();
        for append in append_five() {
            seqs.push(soon(append).await.unwrap().unwrap());
        }
        seqs.sort_unstable();
        assert_eq!(seqs, [0, 1, 2, 3, 4]);

        executor.allow(0);
        assert!(soon(wal.close()).await.unwrap_err().is_not_written());
        executor.allow(usize::MAX);
        soon(wal.close()).await.unwrap();
        drop(wal);
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal).len(), 5);
    }
}

#[test]
fn a_trim_or_replay_whose_work_is_dropped_can_be_repeated() {
    let (executor, storage) = (InPlace::new(usize::MAX), MemStorage::new(1));
    let wal = open_with(Arc::new(storage.clone()), on(&executor)).unwrap();
    append_all(&wal, 0..20);
    let segments = wal.segment_count();
    // The flush that makes the position durable runs, what removes the files does not.
    executor.allow(1);
    ready(wal.trim(15)).unwrap_err();
    assert_eq!((wal.trim_seq(), wal.segment_count()), (15, segments));
    let mut replay = wal.replay(15);
    ready(replay.next()).unwrap_err();
    executor.allow(usize::MAX);
    assert_eq!(ready(replay.next()).unwrap().unwrap().seq, 15);
    ready(wal.trim(15)).unwrap();
    assert!(wal.segment_count() < segments);
    assert_eq!(contents(&wal), payloads(15..20));
}
