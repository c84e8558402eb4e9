//! A process to start for a store, and when to end it.

use std::sync::Arc;
use std::time::Duration;

use super::announced::Announcer;
use crate::process::Order;

/// A process to start, and what hears it.
pub(crate) struct Assignment {
    pub(crate) order: Order,
    pub(crate) announcer: Arc<dyn Announcer>,
    pub(crate) until: Until,
    /// It has at most one `io_uring` request in flight, and takes note of each before the next.
    pub(crate) ring_waits: bool,
}

/// When a process is ended. It may end before, by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// After this many announcements.
    pub(crate) announcements: u64,
    /// Of a traced run: after this many calls on the store's directory.
    pub(crate) calls: Calls,
    pub(crate) life: Life,
    /// This long after the announcement, or the end of its life.
    pub(crate) wait: Duration,
    /// How often it is looked at: first this often, later at longer intervals up to the second.
    pub(crate) looks: (Duration, Duration),
}

/// A number of calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Calls {
    FromStart(u64),
    /// The calls before the first announcement do not count: a server makes hundreds of them to start.
    FromFirstWord(u64),
}

/// How long a process may live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// It has to end by itself. If it does not, it hangs.
    ToItsEnd,
    /// This long.
    FromStart(Duration),
    /// This long after its first announcement, and until there is a second one: on a busy machine, what a
    /// program has attempted can take longer. Without a first one, it hangs; under trace, it is ended at the
    /// limit.
    FromFirstWord(Duration),
}

impl Life {
    /// Whether a process has lived long enough, with this number of announcements, the first of them so long
    /// after its start. A second one is not waited for beyond the limit.
    pub(crate) fn is_over(
        self,
        heard: u64,
        lived: Duration,
        first_word: Option<Duration>,
        limit: Duration,
    ) -> bool {
        match (self, first_word) {
            (Self::FromStart(max), _) => lived > max,
            (Self::FromFirstWord(max), Some(first)) => {
                lived > first + max && (heard > 1 || lived > first + max.max(limit))
            }
            (Self::FromFirstWord(_), None) | (Self::ToItsEnd, _) => false,
        }
    }
}

impl Until {
    /// For a process that ends by itself.
    pub(crate) const END: Self = Self {
        announcements: u64::MAX,
        calls: Calls::FromStart(u64::MAX),
        life: Life::ToItsEnd,
        wait: Duration::ZERO,
        looks: (Duration::from_micros(100), Duration::from_millis(5)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_waits_for_the_end_of_what_was_attempted_first() {
        let seconds = Duration::from_secs;
        let life = Life::FromFirstWord(seconds(1));
        let is_over = |heard, lived, first| life.is_over(heard, seconds(lived), first, seconds(30));
        assert!(!is_over(0, 100, None));
        assert!(!is_over(2, 11, Some(seconds(10))));
        assert!(is_over(2, 12, Some(seconds(10))));
        assert!(!is_over(1, 40, Some(seconds(10))));
        assert!(is_over(1, 41, Some(seconds(10))));
    }
}
