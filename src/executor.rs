//! The seam between the log and whoever runs its blocking work, and the way back for results.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::sync::{Arc, Mutex, lock};

/// Runs a log's blocking work in place of Tokio's blocking pool; given with
/// [`Options::executor`](crate::Options::executor).
///
/// A deterministic simulation runs everything on one thread, the disk included:
///
/// ```
/// struct OnThisRuntime;
///
/// impl groupwal::Executor for OnThisRuntime {
///     fn execute(&self, work: Box<dyn FnOnce() + Send>) {
///         tokio::spawn(async move {
///             tokio::task::yield_now().await;
///             work();
///         });
///     }
/// }
///
/// let options = groupwal::Options::default().executor(std::sync::Arc::new(OnThisRuntime));
/// ```
///
/// Work is blocking I/O and wakes tasks. Opening a log, trimming it and reading from its disk are a
/// piece each; another writes and syncs a group, and goes on with the next ones while they are due.
/// Making the next segment ready is several pieces of one I/O each, of which nobody waits for any.
pub trait Executor: Send + Sync + 'static {
    /// Takes a piece of work. Called in the poll of whoever needs it done, or by another piece: on
    /// any thread, on several at once, and outside any runtime if the log is polled there.
    ///
    /// The work may be
    /// - run at once, before this returns, or later, on this thread or another;
    /// - run in any order, beside other work or after it: no piece waits for another, and none
    ///   unwinds, since a panic is kept for whoever waits for the work;
    /// - dropped unrun, here or later. A flush is abandoned then: its appends learn that nothing of
    ///   them was written, and the log goes on. A segment is not made ready; whoever needs it makes
    ///   it. Anything else ends with an error and can be repeated.
    ///
    /// It must not be
    /// - kept for ever. Whoever waits for it waits as long, and the log stays locked. The work holds
    ///   the log and the log its executor, so an executor does not go away before its work has;
    /// - waited for by this call, if it runs where the caller has to go on first;
    /// - run or dropped under a lock that this method or a waker takes: work wakes tasks, whose next
    ///   poll may bring new work.
    fn execute(&self, work: Box<dyn FnOnce() + Send>);
}

impl fmt::Debug for dyn Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

/// Hands work to an executor. The outcome need not be waited for.
pub(crate) fn submit<R: Send + 'static>(
    executor: &dyn Executor,
    work: impl FnOnce() -> R + Send + 'static,
) -> Outcome<R> {
    let (job, outcome) = job(work);
    executor.execute(Box::new(move || job.run()));
    outcome
}

/// Work to be done somewhere, and its outcome.
pub(crate) fn job<R, F: FnOnce() -> R>(work: F) -> (Job<F, R>, Outcome<R>) {
    let fate = Arc::new(Mutex::new(Fate::Open(None)));
    let outcome = Outcome(Arc::clone(&fate));
    let teller = Teller { result: None, fate };
    (Job { work, teller }, outcome)
}

/// What becomes of a piece of work.
enum Fate<R> {
    /// Not known yet; whoever waits for it is to be woken.
    Open(Option<Waker>),
    /// Its result or its panic; `None` if it was dropped unrun.
    Settled(Option<thread::Result<R>>),
}

/// Work and whoever tells what became of it. Dropped in this order: what the work holds, such as
/// the log, is let go before anybody who waits can go on.
pub(crate) struct Job<F, R> {
    work: F,
    teller: Teller<R>,
}

impl<F: FnOnce() -> R, R> Job<F, R> {
    pub(crate) fn run(self) {
        let Self { work, mut teller } = self;
        teller.result = Some(catch_unwind(AssertUnwindSafe(work)));
    }
}

/// Settles the fate when it is dropped.
struct Teller<R> {
    result: Option<thread::Result<R>>,
    fate: Arc<Mutex<Fate<R>>>,
}

impl<R> Drop for Teller<R> {
    fn drop(&mut self) {
        let settled = Fate::Settled(self.result.take());
        let before = mem::replace(&mut *lock(&self.fate), settled);
        if let Fate::Open(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// Resolves to the work's result, or to `None` if it was dropped unrun; a panic in the work goes on
/// here. Dropping it does not stop the work.
pub(crate) struct Outcome<R>(Arc<Mutex<Fate<R>>>);

impl<R> Future for Outcome<R> {
    type Output = Option<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let mut fate = lock(&self.0);
        match &mut *fate {
            Fate::Open(waker) => {
                let replaced = waker.replace(cx.waker().clone());
                drop(fate);
                drop(replaced);
                Poll::Pending
            }
            Fate::Settled(result) => {
                let result = result.take();
                drop(fate);
                Poll::Ready(result.map(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic))))
            }
        }
    }
}
