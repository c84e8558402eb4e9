//! Write and sync on the worker thread itself, inside the leader's poll: the article's way.

use super::workers::Workers;
use super::writer::{Engine, Flush, Writer};

/// Has no threads.
pub(super) struct Inline;

impl Engine for Inline {
    fn lead(&self, flush: Flush) {
        // The next group is led by one of its own members: this task has its answer and must not work
        // for others for ever.
        drop(Writer::write_and_finish(flush, false));
    }

    fn workers(&self) -> Option<&Workers> {
        None
    }
}
