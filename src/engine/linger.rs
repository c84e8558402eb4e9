//! How long a thread of the blocking pool waits between two groups for the writers it has just woken.
//!
//! Writers that append again as soon as they are answered come back within microseconds, but after
//! the next group has gone: half of them are always one group late. A moment's patience brings
//! them together. It is spent only where it pays: nobody waits for a writer that is alone
//! ([`Turn`](crate::group::Turn)), nor longer than it takes all to come back, and after waiting in
//! vain the next groups go without.

use std::time::Duration;

use super::writer::Turn;
use crate::metrics::Stopwatch;

/// Most that one group is kept waiting. Woken writers need a few microseconds each.
const LONGEST: Duration = Duration::from_micros(30);
/// After so many groups without it, it is tried again.
const TRUANT_MAX: u32 = 64;

/// One busy period's patience.
#[derive(Default)]
pub(super) struct Linger {
    /// Groups that still go without.
    skipped: u32,
    /// How many went without after it was last in vain.
    penalty: u32,
}

impl Linger {
    /// Waits for company, if it is likely to come.
    pub(super) fn wait(&mut self, turn: &Turn) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        let watch = Stopwatch::start();
        let (before, _) = turn.gathered();
        let joined = loop {
            let (joined, company) = turn.gathered();
            if joined >= company || watch.elapsed() >= LONGEST {
                break joined;
            }
            std::thread::yield_now();
        };
        self.penalty = if joined > before {
            0
        } else {
            (2 * self.penalty).clamp(1, TRUANT_MAX)
        };
        self.skipped = self.penalty;
    }
}
