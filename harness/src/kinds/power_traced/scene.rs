//! A recorded life, and what comes of looking at it.

use std::io;

use super::lives::{End, Life};
use crate::history::Event;
use crate::recorder::Followed;
use crate::sim::Role;

/// What ends a round before its end.
pub(super) enum Halt {
    Found,
    Machine(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

/// A recorded life, and what is looked at of it.
pub(super) struct Scene<'s> {
    pub(super) role: Role,
    pub(super) recording: &'s Followed,
}

/// A recovery under trace that went well.
pub(super) struct Recovery {
    /// What it recovered from.
    pub(super) crash: Life,
    pub(super) known: Vec<Event>,
    pub(super) recording: Followed,
}

impl Scene<'_> {
    pub(super) fn ended(&self, moment: usize, end: End) -> Life {
        Life::of(self.role, self.recording, moment, end)
    }
}
