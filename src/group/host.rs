//! What the write groups need from the log and the time around them.

use core::task::{Context, Poll};

/// What the write groups need from the log around them.
pub(crate) trait Host: Sized {
    /// Where members encode their entries.
    type Buffer: Default;
    /// Why a flush failed.
    type Error: Clone;
    /// When a group's time is up.
    type Deadline: Copy;
    /// Where a member is polled: a flush ends with the runtime that runs it, and goes on only for
    /// its own members.
    type Home: Copy + PartialEq;

    /// Where the current task runs.
    fn home(&self) -> Self::Home;

    /// The error for the members of a flush that was dropped before it began, or half-way.
    fn lost(&self, begun: bool) -> Self::Error;
}

/// A member's view of time. Armed only by the member that is responsible for a group.
pub(crate) trait Timer<D> {
    /// The deadline of a group that begins now.
    fn deadline(&mut self) -> D;

    /// Ready once `deadline` has passed.
    fn poll(&mut self, deadline: D, cx: &mut Context<'_>) -> Poll<()>;
}
