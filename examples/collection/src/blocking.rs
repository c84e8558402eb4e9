//! Where blocking work runs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::error::{Error, Kind, Result};

/// Where work that reads and writes files runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// On Tokio's blocking pool.
    Pool,
    /// Where it is asked for: a simulation runs everything on its one thread.
    Inline,
}

impl Blocking {
    /// Runs it to its end. Dropping the future does not stop work that has begun.
    ///
    /// If no thread can be started for it, it does not run at all, and that is an error.
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match self {
            Self::Inline => work(),
            Self::Pool => in_pool(work).await,
        }
    }
}

/// Tokio panics if it has no thread and cannot start one, and leaves the work in the pool's queue: it
/// would run when a later call has started a thread, long after the caller was told that it had failed. A
/// manifest that is published then takes back a newer one. So what is in the queue is only the right to
/// take the work, which the caller takes back.
async fn in_pool<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    let place = Arc::new(Mutex::new(Some(work)));
    let (tell, told) = oneshot::channel();
    let queued = {
        let place = Arc::clone(&place);
        move || {
            if let Some(work) = take(&place) {
                // The caller may be gone.
                drop(tell.send(catch_unwind(AssertUnwindSafe(work))));
            }
        }
    };
    let spawned = catch_unwind(AssertUnwindSafe(|| drop(spawn_blocking(queued))));
    // Nothing to take back: a thread of the pool has become free and runs it.
    if let Err(panic) = spawned
        && take(&place).is_some()
    {
        let reason = words_of(&*panic);
        return Err(Error::new(Kind::NoThread(reason)));
    }
    match told.await {
        Ok(outcome) => outcome.unwrap_or_else(|panic| resume_unwind(panic)),
        // The runtime is being shut down.
        Err(_) => Err(Error::new(Kind::Closed)),
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    place.take()
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let word = panic.downcast_ref::<&str>().map(ToString::to_string);
    let words = word.or_else(|| panic.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    /// A stack that no address space has room for stands for a machine without threads. Tokio panicked in
    /// the task that asked, which was the one task that takes operations in, and kept the work.
    #[test]
    fn work_for_which_no_thread_can_be_started_is_an_error_and_never_runs() {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = |runs: &Arc<AtomicUsize>| {
            let runs = Arc::clone(runs);
            move || Ok(runs.fetch_add(1, Ordering::SeqCst))
        };
        let runtime = Builder::new_current_thread()
            .thread_stack_size(1 << 46)
            .build()
            .expect("it starts no thread");
        for _ in 0..2 {
            let refused = runtime.block_on(Blocking::Pool.run(count(&runs)));
            let refused = refused.expect_err("there is no thread");
            assert!(
                refused.to_string().contains("cannot start a thread"),
                "{refused}"
            );
            assert!(refused.is_overloaded());
        }
        runtime.shutdown_timeout(Duration::from_secs(10));
        assert_eq!(runs.load(Ordering::SeqCst), 0);

        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let ran = runtime.block_on(Blocking::Pool.run(count(&runs)));
        assert_eq!(ran.expect("there are threads"), 0);
    }
}
