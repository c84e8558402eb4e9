//! How a group reaches the disk, and on which thread.
//!
//! An engine is handed a [`Flush`] it owns and must bring it to an end, on whatever thread or ring
//! it likes; the group learns the outcome through the flush itself. The group's bytes are in the
//! flush's buffer, which is aligned for `O_DIRECT` and lives as long as the flush does: an engine
//! that completes asynchronously keeps the flush until the kernel is done with its memory.

mod blocking;
mod inline;
mod linger;
mod pool;
#[cfg(target_os = "linux")]
mod uring;
#[cfg(not(target_os = "linux"))]
#[path = "no_uring.rs"]
mod uring;

use std::time::Duration;

use tokio::runtime::{Handle, Id};

use self::blocking::Blocking;
use self::uring::Uring;
use crate::error::{Error, Kind, Result};
use crate::frame::{FrameBuffer, Preamble};
use crate::group::{self, Host, Lead, Outcome};
use crate::log::{Failure, Log, Place, WriteError};
use crate::options::{EngineKind, Options};
use crate::prepare::Piece;
use crate::sync::{Arc, Mutex, lock};

pub(crate) type Flush = group::Flush<Writer>;
type Next = group::Next<Writer>;
type Turn = group::Turn<Writer>;

/// The writing side of a log, as its write groups see it.
pub(crate) struct Writer {
    log: Mutex<Log>,
    engine: Engine,
}

/// An engine that this machine can run.
#[derive(Clone)]
pub(crate) enum Engine {
    /// On the executor, or on Tokio's blocking pool if there is none.
    Blocking(Blocking),
    Inline,
    Uring(Arc<Uring>),
}

impl Engine {
    /// What opens the log.
    pub(crate) fn to_open(options: &Options) -> Self {
        match options.engine {
            EngineKind::Inline => Self::Inline,
            _ => Self::Blocking(Blocking::new(options)),
        }
    }

    /// What writes to it. `has_descriptors`: whether the storage has any to hand to the kernel.
    ///
    /// # Errors
    /// If `io_uring` was asked for by name and cannot be had.
    pub(crate) fn choose(options: &Options, has_descriptors: bool) -> Result<Self> {
        let blocking = || Blocking::new(options);
        match options.engine {
            EngineKind::Inline => Ok(Self::Inline),
            EngineKind::Uring => match Uring::new(blocking()) {
                Ok(uring) => Ok(Self::Uring(Arc::new(uring))),
                Err(error) => Err(Error::new(Kind::NoUring(error))),
            },
            // Without an I/O driver Tokio panics, so what is not known to be there is not tried.
            EngineKind::Auto
                if has_descriptors && options.executor.is_none() && options.io_driver =>
            {
                Ok(match Uring::new(blocking()) {
                    Ok(uring) => Self::Uring(Arc::new(uring)),
                    Err(error) => {
                        tracing::info!(%error, "io_uring cannot be had: using the blocking engine");
                        Self::Blocking(blocking())
                    }
                })
            }
            EngineKind::Auto | EngineKind::Blocking => Ok(Self::Blocking(blocking())),
        }
    }

    /// Runs a piece of blocking work where this engine runs its own.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        match self {
            Self::Blocking(blocking) => blocking.run(work).await,
            Self::Uring(uring) => uring.blocking().run(work).await,
            Self::Inline => Ok(work()),
        }
    }

    /// Called in the poll of a member that waits: whatever happens to the runtime that the flush
    /// in flight was begun on, this one will hear of its end.
    pub(crate) fn attend(&self) {
        if let Self::Uring(uring) = self {
            uring.attend();
        }
    }

    /// Has a segment made ready in the background, if there is one. Rotation with the inline engine
    /// does it itself.
    fn prepare(&self, piece: Piece) {
        match self {
            Self::Blocking(blocking) => blocking.prepare(piece),
            Self::Uring(uring) => uring.blocking().prepare(piece),
            Self::Inline => {}
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

    /// Writes a group, syncs it, and gives its members their outcome, on this thread. What follows
    /// may go on here if `go_on`.
    fn write_and_finish(mut flush: Flush, go_on: bool) -> Next {
        let group = Arc::clone(flush.group());
        let span = tracing::debug_span!(
            "flush",
            first_seq = flush.taken.first_seq,
            entries = flush.taken.entries
        );
        let _entered = span.enter();
        flush.begin();
        let preamble = preamble(&flush);
        let written = lock(&group.host().log).append(&mut flush.taken.buffer, preamble);
        drop(group);
        Self::finish(flush, written, go_on)
    }

    /// Finds a place for the group's frame and finishes it, unless that takes I/O, or more has to be
    /// done than one write.
    fn begin_at_once(&self, flush: &mut Flush) -> Option<Result<Place, WriteError>> {
        let mut log = lock(&self.log);
        let preamble = preamble(flush);
        log.is_plain(&flush.taken.buffer, &preamble)
            .then(|| log.begin(&mut flush.taken.buffer, preamble))
    }

    /// Gives the members of a group that was written elsewhere their outcome.
    fn finish_written(
        flush: Flush,
        place: Place,
        ended: Result<Duration, Failure>,
        go_on: bool,
    ) -> Next {
        let group = Arc::clone(flush.group());
        let mut log = lock(&group.host().log);
        let written = match ended {
            Ok(took) => {
                log.complete(&place, flush.taken.buffer.entry_count(), took);
                Ok(())
            }
            Err(failure) => Err(log.failed(&place, failure)),
        };
        drop(log);
        drop((group, place));
        Self::finish(flush, written, go_on)
    }

    /// Gives the members their outcome. Then sees to the next segment, once it is time.
    fn finish(mut flush: Flush, written: Result<(), WriteError>, go_on: bool) -> Next {
        let group = Arc::clone(flush.group());
        let writer = group.host();
        let piece = lock(&writer.log).piece();
        let piece = piece.map(|piece| (writer.engine.clone(), piece));
        // Whoever is told may close the log and open it again.
        drop(group);
        flush.taken.buffer.clear();
        let next = flush.finish(
            match written {
                Ok(()) => Outcome::Durable,
                Err(WriteError::NotWritten(error)) => {
                    tracing::warn!(%error, "group not written");
                    Outcome::NotWritten(error)
                }
                Err(WriteError::OnlyTrim(error)) => {
                    tracing::warn!(%error, "group not written, but its trim position");
                    Outcome::OnlyTrim(error)
                }
                Err(WriteError::Stopped(error)) => {
                    tracing::error!(%error, "log stopped");
                    Outcome::Stopped(error)
                }
                Err(WriteError::Unknown(error)) => {
                    tracing::error!(%error, "log poisoned");
                    Outcome::Unknown(error)
                }
            },
            go_on,
        );
        if let Some((engine, piece)) = piece {
            engine.prepare(piece);
        }
        next
    }

    /// Takes a group back from a thread that was lent, if this engine has another way for it.
    fn take_back(&self, flush: Flush) -> Option<Flush> {
        match &self.engine {
            Engine::Uring(_) => {
                self.lead(flush);
                None
            }
            Engine::Blocking(_) | Engine::Inline => Some(flush),
        }
    }
}

/// What a group says in its frame beside its entries.
fn preamble(flush: &Flush) -> Preamble {
    Preamble {
        first_seq: flush.taken.first_seq,
        trim_seq: flush.taken.trim_seq,
        seal: flush.taken.seal,
    }
}

impl Host for Writer {
    type Buffer = FrameBuffer;
    type Error = Error;
    type Deadline = tokio::time::Instant;
    type Home = Option<Id>;

    fn home(&self) -> Option<Id> {
        Handle::try_current().ok().map(|handle| handle.id())
    }

    fn lost(&self, begun: bool) -> Error {
        Error::new(match &self.engine {
            _ if begun => Kind::FlushPanicked,
            Engine::Blocking(blocking) if blocking.has_executor() => Kind::WorkDropped,
            _ => Kind::FlushAbandoned,
        })
    }
}

impl Lead for Writer {
    fn lead(&self, flush: Flush) {
        match &self.engine {
            Engine::Blocking(blocking) => blocking.lead(flush),
            Engine::Inline => inline::lead(flush),
            Engine::Uring(uring) => uring.lead(flush),
        }
    }
}
