//! The log's own memory stays within what its options promise, whatever the load.
//!
//! # How it is measured
//!
//! This binary's allocator counts the bytes that are alive, and the most there have been. The
//! appends' futures are made before the count begins and are polled by hand with a waker that costs
//! nothing, and the storage is a file in memory that has its full size by then: what is allocated
//! in between is the log's own, and a few hundred bytes of Tokio's for each call on its blocking
//! pool. The pool's only thread is kept busy at first, so that everybody stands in line before the
//! first group is written. A block that is reallocated counts once, with its new size, as the
//! system's allocator moves the pages of a large one and does not copy them. There is one test in this file's process at a time: [`alone`].

#![expect(unsafe_code, reason = "a global allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::{Context, Poll, Waker};

use groupwal::{EngineKind, Options, Result, Wal};
use support::mem::MemStorage;
use support::tiny::DIR;
use tokio::runtime::{Builder, Runtime};

struct Counting;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// How often memory was asked for, and asked to grow.
static ASKED: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let alive = ALIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(alive, Ordering::Relaxed);
}

// SAFETY: everything is the system allocator's; the counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        grown(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps the tests of this file apart: they share the count.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

const GROUP_BYTES_MAX: usize = 64 << 10;
const BLOCK: usize = 4096;

fn options(appends_max: usize) -> Options {
    Options::default()
        .engine(EngineKind::Blocking)
        .group_bytes_max(GROUP_BYTES_MAX)
        .entry_bytes_max(8 << 10)
        // The disk is memory, too: no rotation, even if every large append is a frame of its own, and no
        // next segment made ready, which would be as soon as a quarter of this one is full.
        .segment_bytes(192 << 20)
        .appends_max(appends_max)
}

type Append = Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

struct Load {
    /// Lets the blocking pool go. Dropped first: the runtime waits for its pool.
    release: mpsc::Sender<()>,
    runtime: Runtime,
    wal: Wal,
    appends: Vec<Append>,
    done: usize,
    /// Alive before the first poll.
    base: usize,
}

impl Load {
    /// So many appends of so many bytes, none of them polled yet.
    fn new(appends: usize, bytes: usize, options: Options) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let storage = Arc::new(MemStorage::new(1));
        let wal = runtime
            .block_on(Wal::open_with(storage, DIR, options))
            .unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (running, is_running) = mpsc::channel();
        runtime.spawn_blocking(move || {
            running.send(()).unwrap();
            released.recv().ok();
        });
        is_running.recv().unwrap();
        let entry: Arc<[u8]> = vec![7; bytes].into();
        let appends = (0..appends)
            .map(|_| {
                let (wal, entry) = (wal.clone(), entry.clone());
                Box::pin(async move { wal.append(&entry[..]).await }) as Append
            })
            .collect();
        let base = ALIVE.load(Ordering::Relaxed);
        PEAK.store(base, Ordering::Relaxed);
        Self {
            release,
            runtime,
            wal,
            appends,
            done: 0,
            base,
        }
    }

    /// Polls every append that has not ended.
    fn poll_all(&mut self) -> Vec<Result<u64>> {
        let _entered = self.runtime.enter();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut ended = Vec::new();
        let done = &mut self.done;
        self.appends
            .retain_mut(|append| match append.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(output) => {
                    *done += 1;
                    ended.push(output);
                    false
                }
            });
        ended
    }

    /// Lets the flushes run and polls until every append has ended. What the test itself keeps
    /// meanwhile is a list of results.
    fn run(&mut self) {
        self.release.send(()).unwrap();
        while !self.appends.is_empty() {
            for result in self.poll_all() {
                result.unwrap();
            }
            std::thread::yield_now();
        }
    }

    /// The most that was alive since the first poll, in bytes.
    fn peak(&self) -> usize {
        PEAK.load(Ordering::Relaxed) - self.base
    }
}

/// What the options promise, and something for the blocking pool and this test's own lists.
fn promised(appends_max: usize) -> usize {
    2 * (GROUP_BYTES_MAX + BLOCK) + 112 * appends_max + (16 << 10)
}

/// The buffers doubled beyond what a group can fill: a group of 64 KiB and its header took 128 KiB.
#[test]
fn large_appends_stay_within_two_group_buffers_however_many_they_are() {
    let _alone = alone();
    for appends in [64, 1000, 5000] {
        // Sixteen of them fill a group to its last bytes, and its frame needs a block more.
        let mut load = Load::new(appends, 4090, options(appends));
        assert!(load.poll_all().is_empty());
        let waiting = load.peak();
        load.run();
        assert_eq!(load.wal.durable_seq(), appends as u64);
        let (peak, promised) = (load.peak(), promised(appends));
        assert!(
            waiting <= promised && peak <= promised,
            "{appends}: {waiting} bytes while waiting, {peak} at most, {promised} promised"
        );
    }
}

#[test]
fn tens_of_thousands_of_tiny_appends_stay_within_what_the_options_promise() {
    let _alone = alone();
    let mut load = Load::new(65_536, 1, options(65_536));
    assert!(load.poll_all().is_empty());
    let waiting = load.peak();
    load.run();
    let (peak, promised) = (load.peak(), promised(65_536));
    assert!(
        waiting <= promised && peak <= promised,
        "{waiting} bytes while waiting, {peak} at most, {promised} promised"
    );
}

#[test]
fn one_append_too_many_is_refused_and_costs_nothing() {
    let _alone = alone();
    let mut load = Load::new(100, 100, options(64));
    let refused = load.poll_all();
    assert_eq!(refused.len(), 36);
    for result in refused {
        let error = result.unwrap_err();
        assert!(error.is_overloaded() && error.is_not_written());
        assert_eq!(
            error.to_string(),
            "too many appends are in progress (Options::appends_max); the entry was not written"
        );
    }
    // Whoever leaves makes room for another.
    drop(load.appends.pop());
    let late = load.wal.clone();
    load.appends
        .push(Box::pin(async move { late.append(b"late").await }));
    assert!(load.poll_all().is_empty());
    load.run();
    // The one that left had joined its group already.
    assert_eq!(load.wal.durable_seq(), 65);
}

#[test]
fn memory_does_not_grow_with_the_length_of_the_log() {
    let _alone = alone();
    let mut load = Load::new(200, 4096, options(200));
    load.poll_all();
    load.run();
    let first = ALIVE.load(Ordering::Relaxed);
    for _ in 0..20 {
        let wal = load.wal.clone();
        load.appends.extend((0..200).map(|_| {
            let wal = wal.clone();
            Box::pin(async move { wal.append(&[7; 4096]).await }) as Append
        }));
        while !load.appends.is_empty() {
            for result in load.poll_all() {
                result.unwrap();
            }
        }
    }
    let last = ALIVE.load(Ordering::Relaxed);
    // 16 MiB went through. The group buffers may have got their full size only now.
    let buffers = 2 * (GROUP_BYTES_MAX + BLOCK);
    assert!(last <= first + buffers, "{first} bytes became {last}");
}

/// Eight writers in a closed loop, on a real file. Blocking calls are Tokio's, one for each busy period,
/// and cost what they cost; the groups within one cost nothing.
#[test]
fn a_group_allocates_nothing_once_its_size_has_been_seen() {
    let _alone = alone();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engines = vec![EngineKind::Blocking];
    if EngineKind::Uring.is_available() {
        engines.push(EngineKind::Uring);
    } else {
        eprintln!("SKIPPED for the engine uring: the kernel does not allow io_uring here");
    }
    for engine in engines {
        let dir = dir.path().join(format!("{engine:?}"));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = Options::default().engine(engine);
            let wal = Wal::open(dir, options).await.unwrap();
            let writers = 8;
            let start = Arc::new(tokio::sync::Barrier::new(writers + 1));
            let tasks: Vec<_> = (0..writers)
                .map(|_| {
                    let (wal, start) = (wal.clone(), start.clone());
                    tokio::spawn(async move {
                        for _ in 0..50 {
                            wal.append(&[7; 500]).await.unwrap();
                        }
                        start.wait().await;
                        start.wait().await;
                        for _ in 0..200 {
                            wal.append(&[7; 500]).await.unwrap();
                        }
                        start.wait().await;
                        start.wait().await;
                    })
                })
                .collect();
            start.wait().await;
            let (asked, groups) = (ASKED.load(Ordering::Relaxed), wal.metrics().groups);
            start.wait().await;
            start.wait().await;
            let asked = ASKED.load(Ordering::Relaxed) - asked;
            let groups = wal.metrics().groups - groups;
            println!("{engine:?}: {asked} allocations for {groups} groups");
            assert!(groups >= 200);
            let allowed = if engine == EngineKind::Uring {
                0
            } else {
                groups / 2
            };
            assert!(
                asked as u64 <= allowed,
                "{engine:?}: {asked} for {groups} groups"
            );
            start.wait().await;
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}
