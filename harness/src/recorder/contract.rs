//! What every recorder and every recording can do.

use std::borrow::Cow;
use std::io;

use crate::history::Event;
use crate::reached::NextCall;
use crate::sim::Disk;
use crate::store::Work;

/// One run of a store, recorded: moments in the order of time, from before the first operation to the
/// end.
pub(crate) trait Recording {
    /// The number of moments.
    fn moments(&self) -> usize;

    /// What the run had announced at a moment.
    fn announced_at(&self, moment: usize) -> Vec<Event>;

    /// What comes next; `None` at the end.
    fn next_call(&self, moment: usize) -> Option<NextCall>;
}

/// A recording whose moments are disks of the simulated file system, each before an operation, and one
/// after the last.
pub(crate) trait Disks: Recording {
    fn disk_at(&self, moment: usize) -> Cow<'_, Disk>;

    /// Whether what comes next is a sync.
    fn is_before_sync(&self, moment: usize) -> bool;
}

/// Turns one run of a store into a recording.
pub(crate) trait Recorder {
    /// What is to be run, and where.
    type Run<'r>;
    type Recording: Recording;

    /// # Errors
    /// If the machine fails, or the run does what this recorder cannot see.
    fn record(&mut self, run: Self::Run<'_>) -> io::Result<Self::Recording>;
}

/// What a store is to do while it is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run<'w> {
    Write(Work<'w>),
    Recover { close: bool },
}
