//! A recorded life, and what comes of looking at it.

use std::io;
use std::ops::Range;

use super::lives::{End, Life};
use crate::history::Event;
use crate::kinds::contract::Verdict;
use crate::planned_fault::PlannedFault;
use crate::reached::{Place, Process};
use crate::recorder::{Followed, Recording};
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
    /// The first moment at which the power may be lost.
    pub(super) from: usize,
    /// The errors of its disk.
    pub(super) plan: &'s [PlannedFault],
}

/// A recovery under trace.
pub(super) struct Recovery {
    /// What it recovered from.
    pub(super) crash: Life,
    pub(super) known: Vec<Event>,
    pub(super) recording: Followed,
    /// Whether it kept the promises.
    pub(super) verdict: Verdict,
}

impl<'s> Scene<'s> {
    /// A writer's, from the first error of its disk on.
    pub(super) fn of_writer(recording: &'s Followed, plan: &'s [PlannedFault]) -> Self {
        Self {
            role: Role::Writer,
            recording,
            from: recording.faulted.unwrap_or(0),
            plan,
        }
    }

    pub(super) fn of_recovery(recording: &'s Followed) -> Self {
        Self {
            role: Role::Recovery,
            recording,
            from: 0,
            plan: &[],
        }
    }

    /// The moments at which the power may be lost, and what had been announced at each.
    pub(super) fn moments(&self) -> (Range<usize>, impl Fn(usize) -> Vec<Event>) {
        let moments = self.from..self.recording.moments();
        (moments, |moment| self.recording.announced_at(moment))
    }

    /// Where a crash at a moment comes.
    pub(super) fn place(&self, moment: usize) -> Place {
        let process = match self.role {
            Role::Writer => Process::Writer,
            Role::Recovery => Process::Recovery,
        };
        Place::of(process, self.recording.next_call(moment).as_ref())
    }

    pub(super) fn ended(&self, moment: usize, end: End) -> Life {
        let mut life = Life::of(self.role, self.recording, moment, end);
        life.plan = self.plan.to_vec();
        life
    }
}
