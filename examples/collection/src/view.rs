//! What searches see, and what the tasks of a collection share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use groupwal::{StorageDir, Wal};
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::error::{Error, Kind};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::options::{Config, Options};
use crate::segment::Segment;

/// What a search sees. It changes in whole operations only, under the write lock.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) memory: Memory,
    /// Oldest first.
    pub(crate) segments: Arc<[Arc<Segment>]>,
    /// Every operation below it is in memory or in a segment, and no other.
    pub(crate) visible: u64,
}

/// How far things are. Sent whenever it changes.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// As in the [`View`].
    pub(crate) visible: u64,
    /// Every operation below it is in the segments of the published manifest.
    pub(crate) flushed: u64,
    /// Why nothing more is taken in for now: memory is full and cannot be flushed.
    pub(crate) stalled: Option<Error>,
    /// Why the last flush or merge failed, if it did.
    pub(crate) flush_error: Option<Error>,
    /// Why nothing will be taken in any more.
    pub(crate) halted: Option<Error>,
}

/// What the tasks of a collection share.
pub(crate) struct Shared {
    pub(crate) wal: Wal,
    /// The collection's directory, opened once: it may be renamed meanwhile.
    pub(crate) dir: Arc<dyn StorageDir>,
    /// Names in it that are not the collection's.
    pub(crate) unknown_files: Vec<String>,
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) progress: watch::Sender<Progress>,
    /// Something may have become durable.
    pub(crate) appended: Notify,
    pub(crate) searches: Semaphore,
    /// Merges give up.
    pub(crate) stop: AtomicBool,
}

/// Ends all waiting for progress when the task that makes it panics; requests would wait for ever.
pub(crate) struct HaltOnPanic(pub(crate) Arc<Shared>);

impl Drop for HaltOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let halted = Error::new(Kind::Halted(Error::new(Kind::Panicked)));
            self.0
                .progress
                .send_modify(|progress| progress.halted = Some(halted));
        }
    }
}
