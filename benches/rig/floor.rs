//! What an append costs without a disk, from nothing at all to a whole log: the steps to its price.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use groupwal::{EngineKind, Options, Wal};
use tokio::runtime::Runtime;

use super::bare::{ENTRY_BYTES, encode};
use super::group_wal::{GroupWal, Rotating};
use super::mem::MemStorage;
use super::workload::{Document, Store};

/// A task that has nothing to do.
pub(crate) struct Nothing;

impl Store for Nothing {
    async fn insert(&self, document: Document) {
        black_box(document);
    }
}

/// Encodes and lets others go on once, as whoever waits has to.
pub(crate) struct Switch;

impl Store for Switch {
    async fn insert(&self, document: Document) {
        let mut entry = [0; ENTRY_BYTES];
        encode(&document, &mut entry);
        black_box(&entry);
        tokio::task::yield_now().await;
    }
}

/// Encodes into one buffer under a lock, and waits for nothing.
pub(crate) struct Locked(Mutex<[u8; ENTRY_BYTES]>);

impl Default for Locked {
    fn default() -> Self {
        Self(Mutex::new([0; ENTRY_BYTES]))
    }
}

impl Store for Locked {
    async fn insert(&self, document: Document) {
        {
            let mut entry = self.0.lock().expect("nobody panics");
            encode(&document, &mut *entry);
            black_box(&*entry);
        }
        // Who never waits must let the others in.
        tokio::task::consume_budget().await;
    }
}

const SEGMENT_BYTES: u64 = 16 << 20;

/// A log in memory, whose syncs are free.
fn open(runtime: &Runtime, engine: EngineKind) -> Wal {
    let options = Options::default()
        .engine(engine)
        .segment_bytes(SEGMENT_BYTES);
    let storage = Arc::new(MemStorage::new(1));
    let wal = runtime.block_on(Wal::open_with(storage, "/log", options));
    wal.expect("the log opens")
}

/// One that rotates and is trimmed.
pub(crate) fn rotating_in_memory(runtime: &Runtime, engine: EngineKind) -> Arc<Rotating> {
    Arc::new(Rotating::new(open(runtime, engine), runtime))
}

/// One that does not rotate in a burst.
pub(crate) fn in_memory(runtime: &Runtime, engine: EngineKind) -> Arc<GroupWal> {
    let wal = open(runtime, engine);
    Arc::new(GroupWal::new(wal, SEGMENT_BYTES, SEGMENT_BYTES / 2))
}
