//! The writing side of a log: what every engine does with a group, and what it has to be.

use std::time::Duration;

use tokio::runtime::{Handle, Id};

use super::workers::Workers;
use crate::error::{Error, Kind, Result};
use crate::frame::{FrameBuffer, Preamble};
use crate::group::{self, Host, Lead, Outcome};
use crate::log::{Failure, Log, Place, WriteError};
use crate::sync::{Arc, Mutex, lock};

pub(super) type Flush = group::Flush<Writer>;
pub(super) type Next = group::Next<Writer>;
pub(super) type Turn = group::Turn<Writer>;

/// A way to the disk.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Brings a flush to its end, here or elsewhere.
    fn lead(&self, flush: Flush);

    /// Where its blocking work is done; `None` if that is on the thread that asks for it.
    fn workers(&self) -> Option<&Workers>;

    /// Whether it brings a group to the disk without a thread that waits. A thread that it was lent
    /// for one group then gives the next one back.
    fn needs_no_thread(&self) -> bool {
        false
    }

    /// Called in the poll of a member that waits: whatever happens to the runtime that the flush
    /// in flight was begun on, this one will hear of its end.
    fn attend(&self) {}
}

impl dyn Engine {
    /// Runs a piece of blocking work where this engine runs its own.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        match self.workers() {
            Some(workers) => workers.run(work).await,
            None => Ok(work()),
        }
    }

    /// Whether blocking work is done on the thread that asks for it.
    pub(crate) fn works_in_place(&self) -> bool {
        self.workers().is_none()
    }
}

/// The writing side of a log, as its write groups see it.
pub(crate) struct Writer {
    log: Mutex<Log>,
    engine: Arc<dyn Engine>,
}

impl Writer {
    pub(crate) fn new(log: Log, engine: Arc<dyn Engine>) -> Self {
        Self {
            log: Mutex::new(log),
            engine,
        }
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Writes a group, syncs it, and gives its members their outcome, on this thread. What follows
    /// may go on here if `go_on`.
    pub(super) fn write_and_finish(mut flush: Flush, go_on: bool) -> Next {
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
    pub(super) fn begin_at_once(&self, flush: &mut Flush) -> Option<Result<Place, WriteError>> {
        let mut log = lock(&self.log);
        let preamble = preamble(flush);
        log.is_plain(&flush.taken.buffer, &preamble)
            .then(|| log.begin(&mut flush.taken.buffer, preamble))
    }

    /// Writes a group at the place that was found for it.
    pub(super) fn write_at(&self, place: &Place, flush: &Flush) -> Result<(), WriteError> {
        lock(&self.log).write(place, &flush.taken.buffer)
    }

    /// Gives the members of a group that was written elsewhere their outcome.
    pub(super) fn finish_written(
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
    pub(super) fn finish(mut flush: Flush, written: Result<(), WriteError>, go_on: bool) -> Next {
        let group = Arc::clone(flush.group());
        let writer = group.host();
        let piece = lock(&writer.log).piece();
        let piece = piece.map(|piece| (writer.engine.clone(), piece));
        // A member that is woken may close the log and open it again.
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
            // Rotation does it itself where all work is done in place.
            if let Some(workers) = engine.workers() {
                workers.prepare(piece);
            }
        }
        next
    }

    /// Takes a group back from a thread that was lent, if this engine has another way for it.
    pub(super) fn take_back(&self, flush: Flush) -> Option<Flush> {
        if self.engine.needs_no_thread() {
            self.lead(flush);
            return None;
        }
        Some(flush)
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
        let workers = self.engine.workers();
        Error::new(if begun {
            Kind::FlushPanicked
        } else if workers.is_some_and(Workers::has_executor) {
            Kind::WorkDropped
        } else {
            Kind::FlushAbandoned
        })
    }
}

impl Lead for Writer {
    fn lead(&self, flush: Flush) {
        self.engine.lead(flush);
    }
}
