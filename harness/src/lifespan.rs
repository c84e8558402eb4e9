//! How long writers live, where a user knows better than a store's first life tells.

use std::time::Duration;

/// What is asked of all writers; what is `None` is measured or drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lifespan {
    /// In time; of a program, from its first word on.
    pub(crate) life: Option<Duration>,
    /// In announcements, at the most.
    pub(crate) lines: Option<u64>,
    /// Of a traced run: in calls on the store's directory, at the most.
    pub(crate) calls: Option<u64>,
    /// No crash comes before the first acknowledgement in a directory.
    pub(crate) after_ack: bool,
}

impl Lifespan {
    /// No more announcements than are asked for.
    pub(crate) fn lines(&self, drawn: u64) -> u64 {
        self.lines.map_or(drawn, |max| drawn.min(max))
    }
}
