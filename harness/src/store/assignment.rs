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
    /// This long after its first announcement. Without one, it hangs; under trace, it is ended at the limit.
    FromFirstWord(Duration),
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
