//! One call on Tokio's blocking pool, or on an executor of the user's, for each busy period.

use tokio::runtime::Handle;

use super::linger::Linger;
use super::workers::Workers;
use super::writer::{Engine, Flush, Next, Writer};
use crate::executor::submit;
use crate::options::Options;
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

/// On the executor, or on Tokio's blocking pool if there is none.
pub(super) struct Blocking(Workers);

impl Blocking {
    pub(super) fn new(options: &Options) -> Self {
        Self(Workers::new(options.executor.clone()))
    }

    /// Does something whose end is not waited for on the blocking pool; here, if there is none.
    #[cfg(target_os = "linux")]
    pub(super) fn hand_over(&self, work: impl FnOnce() + Send + 'static) {
        self.0.hand_over(work);
    }
}

impl Engine for Blocking {
    fn lead(&self, flush: Flush) {
        if let Some(executor) = self.0.executor() {
            // As on the pool: a panic is told by the flush, and nothing else waits for the work. It does
            // not linger: the members that are to join may need this very thread.
            return drop(submit(executor, move || drain(flush, None)));
        }
        let left = match Handle::try_current() {
            // On a runtime that is shut down the closure is dropped unrun, and the flush with it.
            Ok(runtime) => self.0.start(&runtime, flush, |flush| {
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

    fn workers(&self) -> Option<&Workers> {
        Some(&self.0)
    }
}
