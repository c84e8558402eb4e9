//! What is measured: many tasks, each of which makes one entry durable.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use groupwal::{Insert, Options, SyncPolicy, Wal};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use super::article::SYNC_ON_BATCH;

/// Tasks that append at the same time, as in the article.
pub(crate) const TASKS: usize = 1000;
/// The article's write group with its leader.
pub(crate) const BATCH: SyncPolicy = SyncPolicy::Batch {
    max_entries: 941,
    max_delay: SYNC_ON_BATCH.1,
};
/// Floats in an entry: one vector.
pub(crate) const FLOATS: usize = 128;

/// Default size of a segment.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Default block size: what a frame with one entry takes.
const BLOCK_BYTES: u64 = 4096;
/// What a burst takes if every entry gets a frame of its own. As one group it takes 569,344 bytes:
/// some 110 bursts share a segment then, 16 under `EveryWrite`.
const BURST_BYTES_MAX: u64 = TASKS as u64 * BLOCK_BYTES;

static VECTOR: LazyLock<[f32; FLOATS]> =
    LazyLock::new(|| std::array::from_fn(|i| (i as f32 * 0.37).sin()));

/// One document, one user, one vector: a body of 561 bytes in the article's layout.
#[derive(Clone, Copy)]
pub(crate) struct Document {
    pub(crate) doc_ids: [u128; 1],
    pub(crate) user_ids: [u128; 1],
    pub(crate) vector: &'static [f32; FLOATS],
}

impl Document {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            doc_ids: [(number as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15)],
            user_ids: [number as u128],
            vector: &VECTOR,
        }
    }
}

/// The clock of all measurements here.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real disk in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Something that makes documents durable.
pub(crate) trait Store: Send + Sync + 'static {
    /// Returns when the document would survive a power cut.
    fn insert(&self, document: Document) -> impl Future<Output = ()> + Send;

    /// Called before each burst, outside the measured time.
    fn make_room(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A thousand tasks insert one document each. Measured from the first spawn to the last
/// acknowledgement.
pub(crate) async fn burst<S: Store>(store: &Arc<S>) -> Duration {
    store.make_room().await;
    let begin = now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.insert(Document::new(number)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("an insertion does not panic");
    }
    begin.elapsed()
}

/// One task inserts `count` documents, each after the acknowledgement of the one before, and says
/// how long each took.
pub(crate) async fn lone<S: Store>(store: &Arc<S>, count: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        store.make_room().await;
        let chunk = TASKS.min(count - latencies.len());
        let store = Arc::clone(store);
        // On a worker thread, where a program's tasks live.
        let task = tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(chunk);
            for number in 0..chunk {
                let begin = now();
                store.insert(Document::new(number)).await;
                latencies.push(begin.elapsed());
            }
            latencies
        });
        latencies.extend(task.await.expect("an insertion does not panic"));
    }
    latencies
}

/// This crate's log.
pub(crate) struct GroupWal {
    pub(crate) wal: Wal,
    segment_bytes: u64,
    /// What [`Store::make_room`] leaves at least.
    room_bytes: u64,
    /// Bytes written up to the beginning of the active segment, or a little less.
    segment_begin: AtomicU64,
}

impl GroupWal {
    /// A log in `dir` with default sizes, as a user gets it.
    pub(crate) async fn open(dir: &Path, options: Options) -> Self {
        let wal = Wal::open(dir, options).await.expect("the log opens");
        Self::new(wal, SEGMENT_BYTES, BURST_BYTES_MAX)
    }

    /// A log with segments of `segment_bytes`, of which `room_bytes` are free when a measurement
    /// begins.
    pub(crate) fn new(wal: Wal, segment_bytes: u64, room_bytes: u64) -> Self {
        Self {
            wal,
            segment_bytes,
            room_bytes,
            segment_begin: AtomicU64::new(0),
        }
    }
}

impl Store for GroupWal {
    async fn insert(&self, document: Document) {
        let insert = Insert {
            doc_ids: &document.doc_ids,
            user_ids: &document.user_ids,
            vectors: document.vector,
        };
        self.wal.append(&insert).await.expect("the append succeeds");
    }

    /// Leaves a segment that is nearly full, so that no rotation falls into a measurement: it would
    /// be in one sample of many and belong to none. Trims, so that the disk does not fill and the
    /// segment left is recycled.
    async fn make_room(&self) {
        let used = self.wal.metrics().bytes - self.segment_begin.load(Ordering::Relaxed);
        if used + self.room_bytes <= self.segment_bytes - BLOCK_BYTES {
            return;
        }
        let filler = vec![0; 1 << 20];
        let segments = self.wal.segment_count();
        let mut begin = 0;
        while self.wal.segment_count() == segments {
            begin = self.wal.metrics().bytes;
            self.wal.append(&filler).await.expect("the filler fits");
        }
        self.segment_begin.store(begin, Ordering::Relaxed);
        let trimmed = self.wal.trim(self.wal.durable_seq()).await;
        trimmed.expect("the trim succeeds");
    }
}

/// This crate's log, rotating and being trimmed while it is measured.
pub(crate) struct Rotating {
    wal: GroupWal,
    /// Ends with the store.
    trimmer: AbortHandle,
}

impl Rotating {
    /// Trims in the background as soon as there are four segments.
    pub(crate) fn new(wal: Wal, runtime: &Runtime) -> Self {
        let log = wal.clone();
        let trimmer = runtime.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if log.segment_count() >= 4 {
                    let trim = log.trim(log.durable_seq()).await;
                    trim.expect("the trim succeeds");
                }
            }
        });
        Self {
            wal: GroupWal::new(wal, 0, 0),
            trimmer: trimmer.abort_handle(),
        }
    }
}

impl Drop for Rotating {
    fn drop(&mut self) {
        self.trimmer.abort();
    }
}

impl Store for Rotating {
    async fn insert(&self, document: Document) {
        self.wal.insert(document).await;
    }
}
