//! One call on Tokio's blocking pool for each busy period.

use tokio::runtime::Handle;

use super::{Flush, Writer};
use crate::error::{Error, Kind};

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

pub(super) fn lead(flush: Flush) {
    match Handle::try_current() {
        // On a runtime that is shut down the closure is dropped unrun, and the flush with it.
        Ok(runtime) => drop(runtime.spawn_blocking(move || drain(flush))),
        // Polled outside any runtime: there is nobody else whom a blocked thread could hold up.
        Err(_) => drain(flush),
    }
}

pub(super) async fn run<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Error> {
    match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::new(Kind::RuntimeGone)),
        },
        Err(_) => Ok(work()),
    }
}
