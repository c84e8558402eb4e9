//! The same promises on every engine, on real files: `blocking`, `inline`, and `uring` where the kernel
//! has it.

mod support;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use groupwal::{EngineKind, Entry, Options, OsStorage, RawFile, Result, Storage, Wal};
use support::over::{Layer, Over};
use tokio::runtime::{Builder, Runtime};

/// The engines that run here.
fn engines() -> Vec<EngineKind> {
    let mut engines = vec![EngineKind::Blocking, EngineKind::Inline, EngineKind::Auto];
    if EngineKind::Uring.is_available() {
        engines.push(EngineKind::Uring);
    } else {
        eprintln!("SKIPPED for the engine uring: the kernel does not allow io_uring here");
    }
    engines
}

/// A scratch directory on a file system with `O_DIRECT`, if the build's is one.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn options(engine: EngineKind) -> Options {
    Options::default()
        .engine(engine)
        .segment_bytes(64 << 10)
        .entry_bytes_max(4 << 10)
        .group_bytes_max(32 << 10)
}

fn threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn contents(wal: &Wal) -> BTreeMap<u64, Vec<u8>> {
    let mut replay = wal.replay(wal.trim_seq());
    let mut found = BTreeMap::new();
    while let Some(record) = replay.next().await.unwrap() {
        let Entry::Bytes(bytes) = record.entry else {
            panic!("not bytes: {record:?}");
        };
        found.insert(record.seq, bytes.to_vec());
    }
    found
}

/// Appends, again if the entry is certainly not in the log: the runtime that was to write it may be on its way
/// out.
async fn append_at_last(wal: &Wal, entry: &[u8]) -> u64 {
    loop {
        match wal.append(entry).await {
            Ok(seq) => return seq,
            Err(error) => assert!(error.is_not_written(), "{error}"),
        }
    }
}

/// So many tasks append so many entries each; returns what was acknowledged.
async fn load(wal: &Wal, writers: u8, appends: usize) -> BTreeMap<u64, Vec<u8>> {
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let wal = wal.clone();
            tokio::spawn(async move {
                let mut acked = Vec::new();
                for number in 0..appends {
                    let entry = vec![writer; 1 + (number * 97 + usize::from(writer) * 31) % 2000];
                    acked.push((append_at_last(&wal, &entry).await, entry));
                }
                acked
            })
        })
        .collect();
    let mut acked = BTreeMap::new();
    for task in tasks {
        for (seq, entry) in task.await.unwrap() {
            assert!(
                acked.insert(seq, entry).is_none(),
                "a number was given twice"
            );
        }
    }
    acked
}

#[test]
fn what_is_acknowledged_is_there_after_rotation_trim_and_reopening() {
    for engine in engines() {
        let dir = scratch();
        threads().block_on(async {
            let wal = Wal::open(dir.path(), options(engine)).await.unwrap();
            let mut expected = load(&wal, 16, 40).await;
            assert!(wal.segment_count() > 3, "it has rotated");
            wal.trim(300).await.unwrap();
            // Into recycled segments.
            expected.extend(load(&wal, 16, 40).await);
            let kept = expected.split_off(&300);
            assert_eq!(contents(&wal).await, kept);
            wal.close().await.unwrap();
            drop(wal);
            for _ in 0..2 {
                let wal = Wal::open(dir.path(), options(engine)).await.unwrap();
                assert_eq!(wal.trim_seq(), 300);
                assert_eq!(contents(&wal).await, kept);
            }
        });
    }
}

#[test]
fn every_policy_works() {
    use groupwal::SyncPolicy::{Adaptive, Background, Batch, EveryWrite};
    let ms = std::time::Duration::from_millis(1);
    for engine in engines() {
        for policy in [
            EveryWrite,
            Adaptive,
            Background { interval: ms },
            Batch {
                max_entries: 5,
                max_delay: ms,
            },
        ] {
            let dir = scratch();
            threads().block_on(async {
                let options = options(engine).policy(policy);
                let wal = Wal::open(dir.path(), options).await.unwrap();
                let expected = load(&wal, 7, 10).await;
                assert_eq!(contents(&wal).await, expected);
                wal.close().await.unwrap();
            });
        }
    }
}

#[test]
fn appends_dropped_at_their_first_poll_hurt_nobody() {
    for engine in engines() {
        let dir = scratch();
        threads().block_on(async {
            let wal = Wal::open(dir.path(), options(engine)).await.unwrap();
            let dropping = {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for _ in 0..200 {
                        let mut append = pin!(wal.append(b"dropped"));
                        poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx).is_ready())).await;
                        tokio::task::yield_now().await;
                    }
                })
            };
            let expected = load(&wal, 4, 100).await;
            dropping.await.unwrap();
            wal.close().await.unwrap();
            let found = contents(&wal).await;
            for (seq, entry) in expected {
                assert_eq!(found.get(&seq), Some(&entry));
            }
            assert_eq!(found.len() as u64, wal.durable_seq());
        });
    }
}

/// The directory is free when the last handle is gone, whatever was in flight.
#[test]
fn a_runtime_dropped_under_load_hangs_nobody_and_leaves_the_log_free() {
    for engine in engines() {
        let dir = scratch();
        for round in 0..10 {
            let (doomed, other) = (threads(), threads());
            let wal = other
                .block_on(Wal::open(dir.path(), options(engine)))
                .unwrap();
            let gone = Arc::new(());
            for writer in 0..8 {
                // Dropped in this order.
                let held = (wal.clone(), gone.clone());
                doomed.spawn(async move {
                    let (wal, _gone) = &held;
                    while wal.append(&[writer; 300]).await.is_ok() {}
                });
            }
            let kept = other.block_on(async {
                let before = load(&wal, 4, 5).await;
                if round % 2 == 0 {
                    drop(tokio::task::spawn_blocking(move || drop(doomed)));
                } else {
                    doomed.shutdown_background();
                }
                let mut kept = load(&wal, 4, 20).await;
                kept.extend(before);
                kept
            });
            let found = other.block_on(contents(&wal));
            assert!(
                kept.iter()
                    .all(|(seq, entry)| found.get(seq) == Some(entry))
            );
            drop(other);
            drop(wal);
            // Nobody says when a runtime that shuts down in the background has dropped its tasks.
            while Arc::strong_count(&gone) > 1 {
                std::thread::yield_now();
            }
        }
    }
}

/// A runtime that shuts down waits for what the log has in flight. The completion of a flush that another
/// runtime leads was noted there between this one's look at the ring and its wait for it: it waited for ever.
#[test]
fn a_runtime_that_shuts_down_beside_another_is_not_left_waiting_for_what_that_one_has_noted() {
    for engine in engines() {
        let dir = scratch();
        let stays = threads();
        let wal = stays
            .block_on(Wal::open(dir.path(), options(engine)))
            .unwrap();
        for round in 0..100 {
            let doomed = threads();
            doomed
                .block_on(wal.append(b"it listens from now on"))
                .unwrap();
            let appending = wal.clone();
            let append = stays.spawn(async move { appending.append(b"beside it").await });
            let (ended, has_ended) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                drop(doomed);
                ended.send(()).unwrap();
            });
            stays.block_on(append).unwrap().unwrap();
            let patience = std::time::Duration::from_secs(20);
            let end = has_ended.recv_timeout(patience);
            assert!(end.is_ok(), "{engine:?}, round {round}: it still waits");
        }
    }
}

/// Polls once.
fn poll_once<F: Future>(runtime: &Runtime, future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    runtime.block_on(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))))
}

/// Its flush is in flight, or its turn is held, and nobody drives the runtime that would hear of it.
#[test]
fn a_runtime_that_nobody_drives_holds_up_nobody_on_another() {
    for engine in engines() {
        let dir = scratch();
        let (idle, other) = (one_thread(), one_thread());
        let wal = idle
            .block_on(Wal::open(dir.path(), options(engine)))
            .unwrap();
        for _ in 0..50 {
            let mut left = vec![];
            for _ in 0..3 {
                let mut append = Box::pin(wal.append(b"left alone"));
                if poll_once(&idle, &mut append).is_pending() {
                    left.push(append);
                }
            }
            other.block_on(wal.append(b"goes on")).unwrap();
            other.block_on(load(&wal, 3, 3));
            // Back on the other runtime they have their answers.
            for append in left {
                other.block_on(append).unwrap();
            }
        }
        drop(idle);
        other.block_on(wal.append(b"still")).unwrap();
    }
}

#[test]
fn a_runtime_without_a_reactor_will_do_and_so_will_none() {
    let engines = engines().into_iter().chain([EngineKind::Auto]);
    for engine in engines.filter(|engine| *engine != EngineKind::Uring) {
        let dir = scratch();
        let bare = Builder::new_current_thread().build().unwrap();
        let wal = bare
            .block_on(Wal::open(dir.path(), options(engine)))
            .unwrap();
        assert_eq!(bare.block_on(wal.append(b"bare")).unwrap(), 0);
        let mut append = pin!(wal.append(b"none"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(append.as_mut().poll(&mut cx), Poll::Ready(Ok(1))));
        let full = one_thread();
        assert_eq!(full.block_on(wal.append(b"full")).unwrap(), 2);
        full.block_on(wal.close()).unwrap();
    }
}

/// The engine was asked for by name: the message is Tokio's, and the log is none the worse for it.
#[test]
fn the_ring_on_a_runtime_without_a_reactor_panics_and_the_log_goes_on_elsewhere() {
    if !EngineKind::Uring.is_available() {
        return println!("skipped: io_uring cannot be had here");
    }
    let dir = scratch();
    let bare = Builder::new_current_thread().build().unwrap();
    let wal = bare
        .block_on(Wal::open(dir.path(), options(EngineKind::Uring)))
        .unwrap();
    for _ in 0..2 {
        let append = AssertUnwindSafe(|| bare.block_on(wal.append(b"bare")));
        let panic = catch_unwind(append).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains("enable_io"), "{message}");
    }
    let full = one_thread();
    assert_eq!(full.block_on(wal.append(b"full")).unwrap(), 0);
    full.block_on(wal.close()).unwrap();
}

/// Counts how often a task is woken, and wakes it.
struct CountingWaker(AtomicUsize, Waker);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.wake_by_ref();
    }
}

/// An append's result, and how often it was polled and woken.
async fn counted(append: impl Future<Output = Result<u64>>) -> (usize, usize) {
    let mut append = pin!(append);
    let mut polls = 0;
    let mut waker = None;
    poll_fn(|cx| {
        let counting = waker.get_or_insert_with(|| {
            Arc::new(CountingWaker(AtomicUsize::new(0), cx.waker().clone()))
        });
        polls += 1;
        let waker = Waker::from(counting.clone());
        let polled = append.as_mut().poll(&mut Context::from_waker(&waker));
        polled.map(Result::unwrap)
    })
    .await;
    let woken = waker.map_or(0, |waker| waker.0.load(Ordering::SeqCst));
    (polls, woken)
}

/// With the engine `inline` somebody may be woken to lead and find that a newcomer has done it.
#[test]
fn a_member_is_woken_once_and_then_has_its_answer() {
    let spurious = |engine: &EngineKind| *engine != EngineKind::Inline;
    for engine in engines().into_iter().filter(spurious) {
        let dir = scratch();
        threads().block_on(async {
            let wal = Wal::open(dir.path(), options(engine)).await.unwrap();
            let tasks = (0..24).map(|_| {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let (polls, woken) = counted(wal.append(b"entry")).await;
                        assert!(polls <= 2, "{engine:?}: polled {polls} times");
                        assert!(woken <= 1, "woken {woken} times");
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        });
    }
}

/// Real files, but what goes past them goes to a device that refuses.
#[derive(Clone)]
struct Refusing {
    device: Arc<std::fs::File>,
    write_syncs: bool,
}

impl Layer for Refusing {
    fn raw(&self) -> Option<RawFile<'_>> {
        Some(RawFile::new(self.device.as_fd()).write_syncs(self.write_syncs))
    }
}

fn refusing(write_syncs: bool) -> Arc<dyn Storage> {
    let mut device = std::fs::OpenOptions::new();
    let device = Arc::new(device.write(true).open("/dev/full").unwrap());
    Arc::new(Over {
        inner: OsStorage,
        layer: Refusing {
            device,
            write_syncs,
        },
    })
}

/// Whether such a write failed or its sync did, nobody can say.
#[test]
fn a_write_that_syncs_by_itself_and_fails_poisons_the_log() {
    for engine in engines() {
        let dir = scratch();
        one_thread().block_on(async {
            let wal = Wal::open_with(refusing(true), dir.path(), options(engine));
            let wal = wal.await.unwrap();
            let error = wal.append(b"lost").await.unwrap_err();
            assert!(error.is_outcome_unknown(), "{engine:?}: {error}");
            assert!(wal.append(b"late").await.unwrap_err().is_poisoned());
            assert!(wal.close().await.unwrap_err().is_poisoned());
        });
        let wal = one_thread().block_on(Wal::open(dir.path(), options(engine)));
        assert_eq!(wal.unwrap().durable_seq(), 0);
    }
}

/// A plain write through the ring that fails is rolled back, on the blocking pool.
#[test]
fn a_plain_write_in_the_ring_that_fails_is_rolled_back() {
    if !EngineKind::Uring.is_available() {
        return eprintln!("SKIPPED: the kernel does not allow io_uring here");
    }
    let dir = scratch();
    one_thread().block_on(async {
        let options = options(EngineKind::Uring);
        let wal = Wal::open_with(refusing(false), dir.path(), options);
        let wal = wal.await.unwrap();
        for _ in 0..3 {
            let error = wal.append(b"refused").await.unwrap_err();
            assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
            assert!(error.is_disk_full(), "{error}");
        }
        assert_eq!(wal.durable_seq(), 0);
    });
}
