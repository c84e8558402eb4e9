//! Where blocking work is done: on the user's executor, or on Tokio's blocking pool if there is none.

use tokio::runtime::Handle;

use super::pool::Pool;
use crate::error::{Error, Kind};
use crate::executor::{self, Executor, submit};
use crate::prepare::Piece;
use crate::sync::Arc;

/// The threads of a log's blocking work.
#[derive(Clone)]
pub(crate) struct Workers {
    executor: Option<Arc<dyn Executor>>,
    pool: Arc<Pool>,
}

impl Workers {
    pub(super) fn new(executor: Option<Arc<dyn Executor>>) -> Self {
        Self {
            executor,
            pool: Arc::default(),
        }
    }

    pub(super) fn executor(&self) -> Option<&dyn Executor> {
        self.executor.as_deref()
    }

    /// Whether work that was handed over can be dropped unrun by an executor.
    pub(super) fn has_executor(&self) -> bool {
        self.executor.is_some()
    }

    /// [`Pool::start`] on the log's pool.
    pub(super) fn start<T: Send + 'static>(
        &self,
        runtime: &Handle,
        what: T,
        work: impl FnOnce(T) + Send + 'static,
    ) -> Option<T> {
        self.pool.start(runtime, what, work)
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
