//! One call on Tokio's blocking pool, or on an executor of the user's, for each busy period.

use tokio::runtime::Handle;

use super::linger::Linger;
use super::pool::Pool;
use super::{Flush, Next, Writer};
use crate::error::{Error, Kind};
use crate::executor::{self, Executor, submit};
use crate::options::Options;
use crate::prepare::Piece;
use crate::sync::Arc;

/// Writes the group, then each next one that is due, until there is none.
///
/// A runtime that shuts down waits for its blocking calls. It has dropped its tasks by then, so the
/// first live member of the next group is not its own and
/// [`group::Flush::finish`](crate::group::Flush::finish) ends the busy period here: the shutdown
/// waits for one I/O at most, however busy the log is on another runtime.
fn drain(flush: Flush, mut linger: Option<Linger>) {
    let mut due = Some(flush);
    while let Some(flush) = due {
        due = match Writer::write_and_finish(flush, true) {
            Next::Nothing => None,
            Next::Group(flush) => Some(flush),
            Next::Turn(turn) => {
                if let Some(linger) = &mut linger {
                    linger.wait(&turn);
                }
                turn.take()
            }
        };
        // Only this group was for this thread, if its engine has another way.
        due = due.and_then(|flush| {
            let group = Arc::clone(flush.group());
            group.host().take_back(flush)
        });
    }
}

/// Where blocking work is done: on the user's executor, or on Tokio's blocking pool if there is none.
#[derive(Clone)]
pub(crate) struct Blocking {
    executor: Option<Arc<dyn Executor>>,
    pool: Arc<Pool>,
}

impl Blocking {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            executor: options.executor.clone(),
            pool: Arc::default(),
        }
    }

    /// Whether work that was handed over can be dropped unrun by an executor.
    pub(super) fn has_executor(&self) -> bool {
        self.executor.is_some()
    }

    pub(super) fn lead(&self, flush: Flush) {
        if let Some(executor) = &self.executor {
            // As on the pool: a panic is told by the flush, and nothing else waits for the work. It does
            // not linger: the members that are to join may need this very thread.
            return drop(submit(&**executor, move || drain(flush, None)));
        }
        let left = match Handle::try_current() {
            // On a runtime that is shut down the closure is dropped unrun, and the flush with it.
            Ok(runtime) => self.pool.start(&runtime, flush, |flush| {
                drain(flush, Some(Linger::default()));
            }),
            // Polled outside any runtime: a blocked thread holds up nothing else.
            Err(_) => return drain(flush, None),
        };
        if let Some(flush) = left {
            // This thread has others to work for: one group, and the next one's members see to that.
            drop(Writer::write_and_finish(flush, false));
        }
    }

    /// Does something whose end is not waited for on the blocking pool; here, if there is none.
    #[cfg(target_os = "linux")]
    pub(super) fn hand_over(&self, work: impl FnOnce() + Send + 'static) {
        let left = match Handle::try_current() {
            Ok(runtime) => self.pool.start(&runtime, work, |work| work()),
            Err(_) => Some(work),
        };
        if let Some(work) = left {
            work();
        }
    }

    /// Runs a piece, and then the next, each on its own: others get their turn in between. Without a
    /// thread to run them they are dropped, and the rotation that needs the segment makes it.
    pub(super) fn prepare(&self, piece: Piece) {
        let this = self.clone();
        let work = move || {
            if let Some(piece) = piece.run() {
                this.prepare(piece);
            }
        };
        if let Some(executor) = &self.executor {
            drop(submit(&**executor, work));
        } else if let Ok(runtime) = Handle::try_current() {
            drop(self.pool.start(&runtime, work, |work| work()));
        }
    }

    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        if let Some(executor) = &self.executor {
            let outcome = submit(&**executor, work).await;
            return outcome.ok_or_else(|| Error::new(Kind::WorkDropped));
        }
        let Ok(runtime) = Handle::try_current() else {
            return Ok(work());
        };
        let (job, outcome) = executor::job(work);
        if let Some(job) = self.pool.start(&runtime, job, executor::Job::run) {
            job.run();
        }
        outcome.await.ok_or_else(|| Error::new(Kind::RuntimeGone))
    }
}
