//! A log shared by two runtimes: one that goes away hangs nobody on the other. And what the members
//! of a flush that fails learn, each by where it stands.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use groupwal::{EngineKind, Options, Result, SyncPolicy, Wal};
use support::fault::{EIO, Op, Plan};
use support::mem::MemStorage;
use support::tiny::{DIR, contents, open, options};
use tokio::runtime::{Builder, Runtime};

fn blocking() -> Options {
    options().engine(EngineKind::Blocking)
}

/// A runtime with one worker and one thread for blocking calls.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(1);
    builder.enable_time().build().unwrap()
}

fn open_on(runtime: &Runtime, plan: &Plan, storage: &MemStorage, options: Options) -> Wal {
    let storage = plan.over(storage.clone());
    runtime
        .block_on(Wal::open_with(storage, DIR, options))
        .unwrap()
}

type Append = Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

fn append(wal: &Wal, entry: &'static [u8]) -> Append {
    let wal = wal.clone();
    Box::pin(async move { wal.append(entry).await })
}

/// Begins an append in a task of `runtime` and returns when it has been polled once.
fn begin(runtime: &Runtime, mut append: Append) -> tokio::task::JoinHandle<Result<u64>> {
    let (polled, was_polled) = mpsc::channel();
    let task = runtime.spawn(async move {
        let first = std::future::poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx))).await;
        polled.send(()).unwrap();
        match first {
            Poll::Ready(output) => output,
            Poll::Pending => append.await,
        }
    });
    was_polled.recv().unwrap();
    task
}

/// Occupies the runtime's only blocking thread until the sender is dropped or used.
fn occupy(runtime: &Runtime) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (running, is_running) = mpsc::channel();
    runtime.spawn_blocking(move || {
        running.send(()).unwrap();
        released.recv().ok();
    });
    is_running.recv().unwrap();
    release
}

/// Drops a runtime, which waits for its blocking calls, on a thread of its own. Returns when its
/// tasks are gone, `task` among them.
fn shut_down(
    doomed: Runtime,
    task: tokio::task::JoinHandle<Result<u64>>,
    other: &Runtime,
) -> std::thread::JoinHandle<()> {
    let end = std::thread::spawn(move || drop(doomed));
    assert!(other.block_on(task).unwrap_err().is_cancelled());
    end
}

#[test]
fn a_runtime_shut_down_while_its_flush_runs_hangs_nobody_on_another() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let (doomed, other) = (runtime(), runtime());
    let wal = open_on(&other, &plan, &storage, blocking());
    let _gate = plan.shut_gate();
    let lost = begin(&doomed, append(&wal, b"doomed"));
    plan.until_sync_waits();
    let kept = begin(&other, append(&wal, b"kept"));
    let end = shut_down(doomed, lost, &other);
    plan.open_gate();
    assert_eq!(other.block_on(kept).unwrap().unwrap(), 1);
    end.join().unwrap();
    for seq in 2..5 {
        assert_eq!(other.block_on(wal.append(b"more")).unwrap(), seq);
    }
    drop((other, wal));
    let found = contents(&open(&storage).unwrap());
    assert_eq!(found[..2], [(0, b"doomed".to_vec()), (1, b"kept".to_vec())]);
}

#[test]
fn a_runtime_shut_down_while_its_flush_is_queued_hangs_nobody_on_another() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let (doomed, other) = (runtime(), runtime());
    let wal = open_on(&other, &plan, &storage, blocking());
    let release = occupy(&doomed);
    let lost = begin(&doomed, append(&wal, b"doomed"));
    let kept = begin(&other, append(&wal, b"kept"));
    let end = shut_down(doomed, lost, &other);
    drop(release);
    // A pool may or may not run what was queued before it ended.
    let seq = other.block_on(kept).unwrap().unwrap();
    end.join().unwrap();
    drop((other, wal));
    let found = contents(&open(&storage).unwrap());
    assert_eq!(found.last().unwrap(), &(seq, b"kept".to_vec()));
}

/// The leader's runtime goes before its flush began: the follower on the other runtime learns that
/// nothing was written, and may append again.
#[test]
fn a_follower_of_a_flush_that_never_began_learns_that_nothing_was_written() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let (doomed, other) = (runtime(), runtime());
    let batch = SyncPolicy::Batch {
        max_entries: 2,
        max_delay: Duration::MAX,
    };
    let wal = open_on(&other, &plan, &storage, blocking().policy(batch));
    let follower = begin(&other, append(&wal, b"follower"));
    let dead = doomed.handle().clone();
    drop(doomed);
    let mut leader = append(&wal, b"leader");
    {
        let _on_the_dead_runtime = dead.enter();
        let led = leader
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(led, Poll::Ready(Err(error)) if error.is_not_written()));
    }
    let error = other.block_on(follower).unwrap().unwrap_err();
    assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
    assert_eq!(
        error.to_string(),
        "not written: the entry is not in the log and may be appended again. Cause: a flush was \
         given up before it began, because its runtime was shut down"
    );
    let (one, two) = (append(&wal, b"again"), append(&wal, b"and again"));
    let seqs = other.block_on(async { tokio::join!(one, two) });
    assert_eq!((seqs.0.unwrap(), seqs.1.unwrap()), (0, 1));
    drop((other, wal));
    assert_eq!(contents(&open(&storage).unwrap()).len(), 2);
}

/// The first member of a group holds its timer; its runtime takes both away.
#[test]
fn a_timer_that_went_with_its_runtime_is_handed_to_another() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let doomed = runtime();
    let other = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let batch = SyncPolicy::Batch {
        max_entries: 100,
        max_delay: Duration::from_secs(3600),
    };
    let wal = open_on(&other, &plan, &storage, options().policy(batch));
    drop(begin(&doomed, append(&wal, b"first")));
    let mut second = append(&wal, b"second");
    other.block_on(async {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(cx).is_pending());
    });
    drop(doomed);
    // The paused clock jumps to the second member's own timer.
    assert_eq!(other.block_on(second).unwrap(), 1);
}

#[test]
fn a_runtime_dropped_under_load_leaves_a_log_that_another_goes_on_with() {
    for _ in 0..10 {
        let storage = MemStorage::new(1);
        let (doomed, other) = (runtime(), runtime());
        let wal = open_on(&other, &Plan::default(), &storage, blocking());
        let load = |runtime: &Runtime, number: u8| {
            let wal = wal.clone();
            runtime.spawn(async move {
                let mut last = None;
                for _ in 0..40 {
                    match wal.append(&[number; 300]).await {
                        Ok(seq) => {
                            assert!(last < Some(seq), "order");
                            last = Some(seq);
                        }
                        Err(error) => assert!(error.is_not_written() && !error.is_poisoned()),
                    }
                }
            })
        };
        for number in 0..8 {
            drop(load(&doomed, number));
        }
        let kept: Vec<_> = (8..16).map(|number| load(&other, number)).collect();
        drop(doomed);
        for task in kept {
            other.block_on(task).unwrap();
        }
        other.block_on(wal.close()).unwrap();
        let next = wal.durable_seq();
        drop((other, wal));
        assert_eq!(contents(&open(&storage).unwrap()).len() as u64, next);
    }
}

#[test]
fn a_failed_sync_tells_each_member_by_where_it_stands() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let runtime = runtime();
    let wal = open_on(&runtime, &plan, &storage, blocking().group_entries_max(2));
    let before = plan.count(Op::Sync);
    let _gate = plan.shut_gate();
    plan.fail(Op::Sync, 0, EIO);
    let in_flight = begin(&runtime, append(&wal, b"in flight"));
    plan.until_sync_waits();
    // Two fill the group that forms; the others wait in line.
    let others: Vec<_> = (0..5)
        .map(|_| begin(&runtime, append(&wal, b"not yet")))
        .collect();
    plan.open_gate();
    let error = runtime.block_on(in_flight).unwrap().unwrap_err();
    assert!(
        error.is_outcome_unknown() && !error.is_not_written(),
        "{error}"
    );
    for other in others {
        let error = runtime.block_on(other).unwrap().unwrap_err();
        assert!(
            error.is_not_written() && !error.is_outcome_unknown(),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("cannot sync /log/00000000000000000000.seg")
        );
    }
    let late = runtime.block_on(wal.append(b"late")).unwrap_err();
    assert!(late.is_poisoned() && late.is_not_written());
    assert!(runtime.block_on(wal.close()).unwrap_err().is_poisoned());
    assert_eq!(plan.count(Op::Sync), before + 1);
    drop((wal, runtime));
    let found = contents(&open(&storage).unwrap());
    assert_eq!(found, [(0, b"in flight".to_vec())]);
}

#[test]
fn a_failed_write_fails_its_own_group_only() {
    let (plan, storage) = (Plan::default(), MemStorage::new(1));
    let runtime = runtime();
    let wal = open_on(&runtime, &plan, &storage, blocking());
    let _gate = plan.shut_gate();
    let first = begin(&runtime, append(&wal, b"first"));
    plan.until_sync_waits();
    let second = [0; 3].map(|_| begin(&runtime, append(&wal, b"second")));
    plan.fail(Op::Write, 0, EIO);
    plan.open_gate();
    assert_eq!(runtime.block_on(first).unwrap().unwrap(), 0);
    for append in second {
        let error = runtime.block_on(append).unwrap().unwrap_err();
        assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
    }
    assert_eq!(runtime.block_on(wal.append(b"third")).unwrap(), 1);
    drop((wal, runtime));
    assert_eq!(contents(&open(&storage).unwrap()).len(), 2);
}

/// Acknowledged by a sync that had begun before the entry was written: what arrives during a sync
/// has to wait for the next one.
#[test]
fn what_arrives_during_a_sync_is_acknowledged_by_the_next_one() {
    let plan = Plan::default();
    let runtime = runtime();
    for policy in [
        SyncPolicy::Adaptive,
        SyncPolicy::EveryWrite,
        SyncPolicy::Background {
            interval: Duration::from_millis(1),
        },
    ] {
        let wal = open_on(
            &runtime,
            &plan,
            &MemStorage::new(1),
            // So large that nothing else is synced meanwhile.
            blocking().policy(policy).segment_bytes(64 << 10),
        );
        let _gate = plan.shut_gate();
        let first = begin(&runtime, append(&wal, b"first"));
        plan.until_sync_waits();
        let syncs = plan.count(Op::Sync);
        let second = begin(&runtime, append(&wal, b"second"));
        assert_eq!(wal.durable_seq(), 0);
        plan.open_gate();
        assert_eq!(runtime.block_on(first).unwrap().unwrap(), 0);
        assert_eq!(runtime.block_on(second).unwrap().unwrap(), 1);
        assert_eq!(plan.count(Op::Sync), syncs + 2);
    }
}

/// On the engine that never waits, a task that appended in a loop kept its thread for ever: no other task ran
/// there, and its runtime could not shut down.
#[test]
fn a_task_that_appends_without_end_lets_others_have_their_turn() {
    const MANY: u64 = 10_000;
    let runtime = Builder::new_current_thread().build().unwrap();
    let wal = open(&MemStorage::new(1)).unwrap();
    runtime.block_on(async {
        let appending = wal.clone();
        let task = tokio::spawn(async move {
            for _ in 0..MANY {
                appending.append(b"and again").await.unwrap();
            }
        });
        tokio::task::yield_now().await;
        let between = wal.durable_seq();
        assert!(between > 0 && between < MANY, "after {between} of {MANY}");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// A runtime whose clock passes only when nothing else can happen.
fn patient() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

async fn open_patiently(options: Options) -> Wal {
    let storage = Arc::new(MemStorage::new(1));
    Wal::open_with(storage, DIR, options).await.unwrap()
}

/// Room that was reserved for a member and never given back would make the groups smaller and smaller.
#[test]
fn groups_stay_full_however_often_their_members_had_to_wait_for_room() {
    // Two of them fill a group, to the last byte.
    const ENTRY: [u8; 1019] = [7; 1019];
    patient().block_on(async {
        let wal = open_patiently(blocking()).await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        wal.append(&ENTRY).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            let done = tokio::time::timeout(Duration::from_secs(60), task).await;
            done.expect("nobody waits for ever").unwrap();
        }
        let groups = wal.metrics().groups;
        assert!(groups < 300, "{groups} groups for 400 entries");
    });
}

/// The timer of a group went with the member that held it. Who got its slot was taken for the holder, and was
/// not told that he was the first now.
#[test]
fn a_member_in_the_place_of_one_that_was_dropped_with_the_timer_sets_it_again() {
    patient().block_on(async {
        let wal = open_patiently(blocking().policy(SyncPolicy::Batch {
            max_entries: 100,
            max_delay: Duration::from_millis(10),
        }))
        .await;
        let polled = |entry| {
            let mut append = append(&wal, entry);
            let first = append
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(first.is_pending());
            append
        };
        let holder = polled(b"has the timer");
        let heir = polled(b"is to have it");
        drop(holder);
        // In a task, which is polled again only when it is woken.
        let last = tokio::spawn(append(&wal, b"has the holder's slot"));
        tokio::task::yield_now().await;
        // He has been woken, and goes before he is polled.
        drop(heir);
        let seq = tokio::time::timeout(Duration::from_secs(60), last).await;
        assert_eq!(seq.expect("it does not wait for ever").unwrap().unwrap(), 2);
    });
}
