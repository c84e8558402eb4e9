//! Append futures dropped at every point: no other entry is lost, delayed or failed.
//!
//! Time is Tokio's paused clock, which jumps ahead when everybody waits: no test sleeps, and a hang
//! shows at once as a timeout.

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use groupwal::{EngineKind, Options, SyncPolicy, Wal};
use support::fault::Plan;
use support::mem::MemStorage;
use support::tiny::{DIR, contents, open, options};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes in paused time.
const HANG: Duration = Duration::from_secs(3600);

fn policies() -> [SyncPolicy; 4] {
    [
        SyncPolicy::EveryWrite,
        SyncPolicy::Background {
            interval: Duration::from_millis(10),
        },
        SyncPolicy::Batch {
            max_entries: 3,
            max_delay: Duration::from_millis(5),
        },
        SyncPolicy::Adaptive,
    ]
}

async fn open_on(plan: &Plan, storage: &MemStorage, options: Options) -> Wal {
    let storage = plan.over(storage.clone());
    Wal::open_with(storage, DIR, options).await.unwrap()
}

/// Polls a future `polls` times, two virtual milliseconds apart, and then drops it, unless it has
/// ended before.
async fn poll_then_drop<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = poll {
            return Some(output);
        }
        sleep(Duration::from_millis(2)).await;
    }
    None
}

/// Waits until the blocking pool has nothing left to do: the paused clock stands still until then.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Six appends, of which `victims` are dropped after `polls` polls. `len` decides how many fit a
/// group.
async fn drop_some(options: Options, len: usize, victims: u32, polls: u32) {
    let storage = MemStorage::new(1);
    let wal = open_on(&Plan::default(), &storage, options).await;
    let tasks: Vec<_> = (0..6_u8)
        .map(|number| {
            let wal = wal.clone();
            tokio::spawn(async move {
                let entry = vec![number; len];
                let append = wal.append(&entry);
                if victims & (1 << number) == 0 {
                    Some(append.await)
                } else {
                    poll_then_drop(append, polls).await
                }
            })
        })
        .collect();
    let mut acknowledged = BTreeMap::new();
    for (number, task) in (0..6_u8).zip(tasks) {
        let appended = timeout(HANG, task).await.expect("an append hangs").unwrap();
        match appended.transpose().unwrap() {
            Some(seq) => assert_eq!(acknowledged.insert(seq, number), None),
            None => assert_ne!(victims & (1 << number), 0),
        }
    }
    timeout(HANG, wal.close())
        .await
        .expect("close hangs")
        .unwrap();
    drop(wal);
    let found = contents(&open(&storage).unwrap());
    let numbers: Vec<u8> = found.iter().map(|(_, bytes)| bytes[0]).collect();
    for (seq, number) in acknowledged {
        assert_eq!(numbers[usize::try_from(seq).unwrap()], number);
    }
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), numbers.len(), "an entry is there twice");
}

#[tokio::test(start_paused = true)]
async fn appends_dropped_at_any_poll_hurt_nobody_on_the_inline_engine() {
    for policy in policies() {
        for polls in 0..10 {
            // Any one, the first ones, every other one; groups of all, and of two.
            for victims in [
                1, 2, 4, 8, 16, 32, 0b11, 0b111, 0b10_1010, 0b1_0101, 0b11_1110,
            ] {
                for len in [3, 900] {
                    drop_some(options().policy(policy), len, victims, polls).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn appends_dropped_at_any_poll_hurt_nobody_on_the_blocking_engine() {
    for policy in policies() {
        for polls in 0..10 {
            for victims in [1, 2, 4, 0b11, 0b10_1010, 0b1_0101] {
                let options = options().policy(policy).engine(EngineKind::Blocking);
                drop_some(options, 900, victims, polls).await;
            }
        }
    }
}

/// The member whose timer was armed left, nobody else had one, and the group waited until it was
/// full.
#[tokio::test(start_paused = true)]
async fn a_dropped_timer_is_handed_on() {
    for policy in [policies()[1], policies()[2]] {
        let wal = open_on(
            &Plan::default(),
            &MemStorage::new(1),
            options().policy(policy),
        )
        .await;
        for _ in 0..3 {
            // Tasks of their own: neither is polled because the other one is.
            let (first, second) = (wal.clone(), wal.clone());
            let dropped =
                tokio::spawn(async move { poll_then_drop(first.append(b"dropped"), 1).await });
            let start = tokio::time::Instant::now();
            let kept =
                tokio::spawn(
                    async move { timeout(HANG, second.append(b"kept")).await.expect("hangs") },
                );
            assert!(dropped.await.unwrap().is_none());
            kept.await.unwrap().unwrap();
            // The timeout polls the append once more when it fires: only the clock tells.
            assert!(start.elapsed() <= Duration::from_millis(11), "late");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_append_of_a_batch_waits_its_delay_and_no_longer() {
    let batch = SyncPolicy::Batch {
        max_entries: 100,
        max_delay: Duration::from_millis(10),
    };
    let wal = open_on(
        &Plan::default(),
        &MemStorage::new(1),
        options().policy(batch),
    )
    .await;
    for _ in 0..3 {
        let start = tokio::time::Instant::now();
        wal.append(b"alone").await.unwrap();
        let waited = start.elapsed().as_millis();
        assert!((10..=11).contains(&waited), "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let batch = SyncPolicy::Batch {
        max_entries: 3,
        max_delay: Duration::from_millis(10),
    };
    let wal = open_on(
        &Plan::default(),
        &MemStorage::new(1),
        options().policy(batch),
    )
    .await;
    let start = tokio::time::Instant::now();
    let seqs = tokio::join!(wal.append(b"a"), wal.append(b"b"), wal.append(b"c"));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        (seqs.0.unwrap(), seqs.1.unwrap(), seqs.2.unwrap()),
        (0, 1, 2)
    );
    assert_eq!(wal.metrics().groups, 1);
}

#[tokio::test(start_paused = true)]
async fn appends_of_a_background_interval_share_its_tick() {
    let wal = open_on(
        &Plan::default(),
        &MemStorage::new(1),
        options().policy(policies()[1]),
    )
    .await;
    let start = tokio::time::Instant::now();
    let late = async {
        sleep(Duration::from_millis(7)).await;
        wal.append(b"late").await
    };
    let (early, late) = tokio::join!(wal.append(b"early"), late);
    assert_eq!((early.unwrap(), late.unwrap()), (0, 1));
    assert!(start.elapsed() <= Duration::from_millis(11));
    assert_eq!(wal.metrics().groups, 1);
}

/// A handle that nobody awaits any more, and a log that nobody holds: the flush in progress ends,
/// and the lock goes with it.
#[test]
fn a_log_dropped_in_the_middle_of_a_flush_finishes_it_and_lets_go() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let blocking = options().engine(EngineKind::Blocking);
    let wal = runtime.block_on(open_on(&plan, &storage, blocking));
    let _gate = plan.shut_gate();
    let task = runtime.spawn({
        let wal = wal.clone();
        async move { wal.append(b"entry").await }
    });
    plan.until_sync_waits();
    task.abort();
    drop((task, wal));
    assert!(
        open(&storage).unwrap_err().is_locked(),
        "the flush still owns it"
    );
    plan.open_gate();
    // Waits for the one I/O in progress.
    drop(runtime);
    let wal = open(&storage).unwrap();
    assert_eq!(contents(&wal), [(0, b"entry".to_vec())]);
}

#[tokio::test(start_paused = true)]
async fn a_close_lets_in_nobody_else_and_seals_behind_all_that_were_let_in() {
    for (policy, engine) in policies().into_iter().zip(
        [EngineKind::Inline, EngineKind::Blocking]
            .into_iter()
            .cycle(),
    ) {
        let storage = MemStorage::new(1);
        let wal = open_on(
            &Plan::default(),
            &storage,
            options().policy(policy).engine(engine),
        )
        .await;
        let entries: Vec<Vec<u8>> = (0..8).map(|number| vec![number; 900]).collect();
        let mut appends: Vec<_> = entries
            .iter()
            .map(|entry| Box::pin(wal.append(entry)))
            .collect();
        for append in &mut appends {
            std::future::poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx).is_ready())).await;
        }
        drop(appends);
        let appends = (0..8_u8).map(|number| {
            let wal = wal.clone();
            tokio::spawn(async move { wal.append(&[number; 900]).await })
        });
        let appends: Vec<_> = appends.collect();
        tokio::task::yield_now().await;
        let closed = timeout(HANG, async { tokio::join!(wal.close(), wal.close()) });
        let closed = closed.await.expect("close hangs");
        closed.0.unwrap();
        closed.1.unwrap();
        assert!(wal.append(b"late").await.unwrap_err().is_closed());
        assert!(wal.append(b"late").await.unwrap_err().is_not_written());
        assert!(wal.trim(0).await.unwrap_err().is_closed());
        wal.close().await.unwrap();
        let mut expected = BTreeMap::new();
        for (number, append) in (0..8_u8).zip(appends) {
            match timeout(HANG, append).await.expect("hangs").unwrap() {
                Ok(seq) => drop(expected.insert(seq, number)),
                Err(error) => assert!(error.is_closed() && error.is_not_written(), "{error}"),
            }
        }
        drop(wal);
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        let found: BTreeMap<u64, u8> = contents(&wal)
            .into_iter()
            .map(|(seq, b)| (seq, b[0]))
            .collect();
        assert!(
            expected
                .iter()
                .all(|(seq, number)| found.get(seq) == Some(number))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_can_be_called_again() {
    for polls in 0..4 {
        let storage = MemStorage::new(1);
        let wal = open_on(
            &Plan::default(),
            &storage,
            options().engine(EngineKind::Blocking),
        )
        .await;
        wal.append(b"entry").await.unwrap();
        drop(poll_then_drop(wal.close(), polls).await);
        timeout(HANG, wal.close())
            .await
            .expect("close hangs")
            .unwrap();
        drop(wal);
        assert!(open(&storage).unwrap().recovery().sealed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_or_trim_that_is_dropped_leaves_a_log_that_opens() {
    for polls in 0..4 {
        let (plan, storage) = (Plan::default(), MemStorage::new(1));
        let blocking = options().engine(EngineKind::Blocking);
        let opening = Wal::open_with(plan.over(storage.clone()), DIR, blocking.clone());
        drop(poll_then_drop(opening, polls).await);
        settle().await;
        let wal = open_on(&plan, &storage, blocking).await;
        for number in 0..10_u8 {
            wal.append(&[number; 400]).await.unwrap();
        }
        drop(poll_then_drop(wal.trim(8), polls).await);
        drop(wal);
        let wal = open(&storage).unwrap();
        let first = wal.trim_seq();
        assert!(first == 0 || first == 8);
        assert_eq!(contents(&wal).len() as u64, 10 - first);
    }
}

/// A flush woke its members while it still held the log, so whoever closed a log, dropped it and
/// opened it again could be told that it was in use: by the flush that had just sealed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_closed_and_dropped_can_be_opened_at_once() {
    let storage = MemStorage::new(1);
    for round in 0..300_u64 {
        let blocking = options().engine(EngineKind::Blocking);
        let opened = Wal::open_with(Arc::new(storage.clone()), DIR, blocking).await;
        let wal = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(wal.append(&[1_u8]).await.unwrap(), round);
        wal.close().await.unwrap();
    }
}
