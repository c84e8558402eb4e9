//! This crate's log as a contestant.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use groupwal::{Insert, Options, SyncPolicy, Wal};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use super::article::SYNC_ON_BATCH;
use super::workload::{Document, Store, TASKS};

/// The article's write group with its leader.
pub(crate) const BATCH: SyncPolicy = SyncPolicy::Batch {
    max_entries: 941,
    max_delay: SYNC_ON_BATCH.1,
};

/// Default size of a segment.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Default block size: what a frame with one entry takes.
const BLOCK_BYTES: u64 = 4096;
/// What a burst takes if every entry gets a frame of its own. As one group it takes 569,344 bytes:
/// some 110 bursts share a segment then, 16 under `EveryWrite`.
const BURST_BYTES_MAX: u64 = TASKS as u64 * BLOCK_BYTES;

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
