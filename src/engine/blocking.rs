//! One call on Tokio's blocking pool, or on an executor of the user's, for each busy period.

use tokio::runtime::Handle;

use super::{Flush, Writer};
use crate::error::{Error, Kind};
use crate::executor::{Executor, submit};

/// Writes the group, then each next one that is due, until there is none.
///
/// A runtime that shuts down waits for its blocking calls. It has dropped its tasks by then, so the
/// first live member of the next group is not its own and
/// [`group::Flush::finish`](crate::group::Flush::finish) ends the busy period here: the shutdown
/// waits for one I/O at most, however busy the log is on another runtime.
fn drain(flush: Flush) {
    let mut due = Some(flush);
    while let Some(flush) = due {
        due = Writer::write_and_finish(flush, true);
    }
}

pub(super) fn lead(executor: Option<&dyn Executor>, flush: Flush) {
    if let Some(executor) = executor {
        // As on the pool: a panic is told by the flush, and nobody else waits for the work.
        return drop(submit(executor, move || drain(flush)));
    }
    match Handle::try_current() {
        // On a runtime that is shut down the closure is dropped unrun, and the flush with it.
        Ok(runtime) => drop(runtime.spawn_blocking(move || drain(flush))),
        // Polled outside any runtime: there is nobody else whom a blocked thread could hold up.
        Err(_) => drain(flush),
    }
}

pub(super) async fn run<R: Send + 'static>(
    executor: Option<&dyn Executor>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Error> {
    if let Some(executor) = executor {
        let outcome = submit(executor, work).await;
        return outcome.ok_or_else(|| Error::new(Kind::WorkDropped));
    }
    match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::new(Kind::RuntimeGone)),
        },
        Err(_) => Ok(work()),
    }
}
