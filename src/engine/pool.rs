//! Threads for blocking work: those of Tokio's pool, as long as there are any to be had.
//!
//! A process may be unable to start a thread: at the limit of its cgroup (`pids.max`) or of its user
//! (`ulimit -u`). If the pool has no thread left then, `spawn_blocking` panics *after* it has put
//! the closure into the pool's queue, where it runs as soon as the pool gets a thread for anything
//! else. So what is handed over lies in a *claim*: the caller takes it back after the panic, and a closure
//! that comes too late finds nothing to do.
//!
//! Where a panic ends the process (`panic = "abort"`) the pool cannot be asked. There a thread is
//! started for each busy period: that costs some tens of microseconds, and can fail without a panic.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::metrics::Stopwatch;
use crate::sync::{Arc, Mutex, lock};

/// Something that is done once, by whichever thread takes it out first.
struct Claim<T>(Arc<Mutex<Option<T>>>);

impl<T> Claim<T> {
    fn new(what: T) -> Self {
        Self(Arc::new(Mutex::new(Some(what))))
    }

    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

/// How long the pool is not asked again after a refusal. Each refusal leaves a closure in its queue and a
/// panic's message in the program's log.
const REST: Duration = Duration::from_millis(100);

/// Where a log gets its threads from.
#[derive(Default)]
pub(crate) struct Pool {
    /// When no thread could be had last.
    refused: Mutex<Option<Stopwatch>>,
}

impl Pool {
    /// Has `work` done with `what` on a thread that may block. Gives `what` back if no thread can be had, and
    /// then nothing has been done. On a runtime that has shut down `what` is dropped.
    pub(super) fn start<T: Send + 'static>(
        &self,
        runtime: &Handle,
        what: T,
        work: impl FnOnce(T) + Send + 'static,
    ) -> Option<T> {
        let is_resting = |refused: &Stopwatch| refused.elapsed() < REST;
        if lock(&self.refused).as_ref().is_some_and(is_resting) {
            return Some(what);
        }
        let left = start_with(what, work, |closure| has_started(runtime, closure));
        if left.is_some() {
            tracing::warn!("no thread can be started: blocking work is done where it is needed");
        }
        *lock(&self.refused) = left.is_some().then(Stopwatch::start);
        left
    }
}

/// [`Pool::start`] with the call that finds a thread for a closure, and tells whether it did. It may keep the
/// closure also if it did not.
fn start_with<T: Send + 'static>(
    what: T,
    work: impl FnOnce(T) + Send + 'static,
    has_started: impl FnOnce(Box<dyn FnOnce() + Send>) -> bool,
) -> Option<T> {
    let claim = Claim::new(what);
    let theirs = claim.share();
    let closure = move || {
        if let Some(what) = theirs.take() {
            work(what);
        }
    };
    if has_started(Box::new(closure)) {
        return None;
    }
    claim.take()
}

#[cfg(panic = "unwind")]
fn has_started(runtime: &Handle, closure: Box<dyn FnOnce() + Send>) -> bool {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    // The handle is not needed: what is done with the claim tells its own outcome.
    catch_unwind(AssertUnwindSafe(|| drop(runtime.spawn_blocking(closure)))).is_ok()
}

#[cfg(not(panic = "unwind"))]
fn has_started(runtime: &Handle, closure: Box<dyn FnOnce() + Send>) -> bool {
    let runtime = runtime.clone();
    let named = std::thread::Builder::new().name("groupwal".to_owned());
    let started = named.spawn(move || {
        let _entered = runtime.enter();
        closure();
    });
    started.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Tokio does without a thread: it panics, and runs the closure when there is one again.
    #[test]
    fn a_closure_that_stays_queued_finds_nothing_to_do_later() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut queued = None;
        let note = Arc::clone(&done);
        let left = start_with(
            "group 7",
            move |what| lock(&note).push(what),
            |closure| {
                queued = Some(closure);
                false
            },
        );
        assert_eq!(left, Some("group 7"));
        queued.expect("it stays in the queue")();
        assert!(lock(&done).is_empty(), "done twice");
    }

    /// The other way round: the queued closure ran before the caller heard of the panic.
    #[test]
    fn what_has_been_done_is_not_given_back() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&done);
        let left = start_with(
            "group 7",
            move |what| lock(&note).push(what),
            |closure| {
                closure();
                false
            },
        );
        assert_eq!(left, None);
        assert_eq!(*lock(&done), ["group 7"]);
    }
}
