//! How a group reaches the disk, and on which thread.
//!
//! An engine is handed a [`Flush`] it owns and must bring it to an end, on whatever thread or ring
//! it likes; the group learns the outcome through the flush itself. The group's bytes are in the
//! flush's buffer, which is aligned for `O_DIRECT` and lives as long as the flush does: an engine
//! that completes asynchronously keeps the flush until the kernel is done with its memory.

mod blocking;
mod inline;

use tokio::runtime::{Handle, Id};

use crate::error::{Error, Kind};
use crate::executor::Executor;
use crate::frame::{FrameBuffer, Header};
use crate::group::{self, Host, Outcome};
use crate::log::{Log, WriteError};
use crate::options::{EngineKind, Options};
use crate::sync::{Arc, Mutex, lock};

pub(crate) type Flush = group::Flush<Writer>;

/// The writing side of a log, as its write groups see it.
pub(crate) struct Writer {
    log: Mutex<Log>,
    engine: Engine,
}

/// An engine that this machine can run.
#[derive(Clone)]
pub(crate) enum Engine {
    /// On the executor, or on Tokio's blocking pool if there is none.
    Blocking(Option<Arc<dyn Executor>>),
    Inline,
}

impl Engine {
    pub(crate) fn choose(options: &Options) -> Self {
        match options.engine {
            EngineKind::Auto | EngineKind::Blocking => Self::Blocking(options.executor.clone()),
            EngineKind::Inline => Self::Inline,
        }
    }

    /// Runs a piece of blocking work where this engine runs its own.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        match self {
            Self::Blocking(executor) => blocking::run(executor.as_deref(), work).await,
            Self::Inline => Ok(work()),
        }
    }
}

impl Writer {
    pub(crate) fn new(log: Log, engine: Engine) -> Self {
        Self {
            log: Mutex::new(log),
            engine,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Writes a group, syncs it, and gives its members their outcome. Returns the next group if
    /// `go_on` and it is due here.
    fn write_and_finish(mut flush: Flush, go_on: bool) -> Option<Flush> {
        let outcome = Arc::clone(flush.group()).host().write(&mut flush);
        flush.finish(outcome, go_on)
    }

    /// Writes and syncs a group on this thread.
    fn write(&self, flush: &mut Flush) -> Outcome<Error> {
        let span = tracing::debug_span!(
            "flush",
            first_seq = flush.first_seq,
            entries = flush.entries
        );
        let _entered = span.enter();
        flush.begin();
        let header = Header {
            payload_len: 0,
            entry_count: 0,
            group: 0,
            first_seq: flush.first_seq,
            // One flush at a time: whatever came before this group is durable.
            durable_seq: flush.first_seq,
            trim_seq: flush.trim_seq,
            seal: flush.seal,
            lost: false,
        };
        let written = lock(&self.log).append(&mut flush.buffer, header);
        flush.buffer.clear();
        match written {
            Ok(()) => Outcome::Durable,
            Err(WriteError::NotWritten(error)) => {
                tracing::warn!(%error, "group not written");
                Outcome::NotWritten(error)
            }
            Err(WriteError::Unknown(error)) => {
                tracing::error!(%error, "log poisoned");
                Outcome::Unknown(error)
            }
        }
    }
}

impl Host for Writer {
    type Buffer = FrameBuffer;
    type Error = Error;
    type Deadline = tokio::time::Instant;
    type Home = Option<Id>;

    fn lead(&self, flush: Flush) {
        match &self.engine {
            Engine::Blocking(executor) => blocking::lead(executor.as_deref(), flush),
            Engine::Inline => inline::lead(flush),
        }
    }

    fn home(&self) -> Option<Id> {
        Handle::try_current().ok().map(|handle| handle.id())
    }

    fn lost(&self, begun: bool) -> Error {
        Error::new(match &self.engine {
            _ if begun => Kind::FlushPanicked,
            Engine::Blocking(Some(_)) => Kind::WorkDropped,
            _ => Kind::FlushAbandoned,
        })
    }
}
