//! What came of a run.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The child exited by itself, with this status.
    Exited(i32),
    /// This signal killed the child, and it did not come from us.
    Signaled(i32),
    /// The observer wanted it.
    Killed,
    /// The time limit was over.
    TimedOut,
    /// A [`Stopper`](super::Stopper) was used.
    Stopped,
}

impl End {
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(status), _) => Self::Exited(status),
            (None, signal) => Self::Signaled(signal.expect("it ended in one of two ways")),
        }
    }
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Why it ended.
    pub end: End,
    /// How many calls were reported.
    pub calls: u64,
    /// How many processes the child left behind when it ended by itself. They were killed.
    pub left_behind: usize,
}
