//! What a search has seen and found.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Instant;

use super::timeline::Timeline;
use crate::history::Event;
use crate::kinds::sought::Sought;
use crate::oracle::Violation;
use crate::sim::Disk;
use crate::tally::Tally;

/// A broken promise, and how to come to it again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) timeline: Timeline,
    pub(crate) violation: Violation,
    /// What had been announced.
    pub(crate) events: Vec<Event>,
    /// As it was before recovery.
    pub(crate) disk: Disk,
}

/// A failure, and when it was found.
pub(crate) struct Kept {
    pub(crate) failure: Box<Failure>,
    /// States that had been looked at by then.
    pub(crate) states: u64,
    pub(crate) at: Instant,
}

/// Why a search ends before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It has found what it was for, or something behind which nothing more can be said.
    Failed(Box<Failure>),
    /// The machine failed.
    Machine(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

impl Halt {
    /// The failure, if it is one.
    pub(crate) fn failure(self) -> io::Result<Box<Failure>> {
        match self {
            Self::Failed(failure) => Ok(failure),
            Self::Machine(error) => Err(error),
        }
    }
}

/// Remembers which crash states were looked at, and what they showed.
pub(crate) struct Search<'t> {
    pub(crate) tally: &'t mut Tally,
    sought: Sought,
    /// What was found besides the failure that ends it: the first of each class.
    pub(crate) failures: BTreeMap<String, Kept>,
    /// Bytes on disk and what was known then.
    seen: HashSet<u64>,
    /// Counts recoveries that have come to their end: after each, the same bytes mean something else.
    pub(crate) epoch: u64,
    /// What recoveries have done, by the kinds of operations.
    trails: HashSet<u64>,
}

impl<'t> Search<'t> {
    pub(crate) fn new(sought: Sought, tally: &'t mut Tally) -> Self {
        Self {
            tally,
            sought,
            failures: BTreeMap::new(),
            seen: HashSet::new(),
            epoch: 0,
            trails: HashSet::new(),
        }
    }

    /// Ends with a failure, if it is what is looked for; else keeps the first of its class.
    pub(crate) fn found(&mut self, failure: Box<Failure>) -> Result<(), Halt> {
        if self.sought.ends_with(&failure.violation) {
            return Err(Halt::Failed(failure));
        }
        self.keep(failure);
        Ok(())
    }

    /// Counts a failure, and keeps the first of its class, if that is not known already.
    pub(crate) fn keep(&mut self, failure: Box<Failure>) {
        self.tally.violated(&failure.violation);
        if self.sought.passes_over(&failure.violation) {
            return;
        }
        let class = failure.violation.class();
        let states = self.tally.crash_states;
        self.failures.entry(class).or_insert_with(|| Kept {
            failure,
            states,
            at: Instant::now(),
        });
    }

    /// The same, where making the failure costs more than knowing its violation.
    pub(crate) fn broken(
        &mut self,
        violation: Violation,
        failure: impl FnOnce(Violation) -> Box<Failure>,
    ) -> Result<(), Halt> {
        let is_kept = self.failures.contains_key(&violation.class());
        if is_kept || self.sought.passes_over(&violation) {
            self.tally.violated(&violation);
            return Ok(());
        }
        self.found(failure(violation))
    }

    /// Counts a state that is about to be looked at, with this number of events announced; `false` if the
    /// same bytes were looked at before with the same knowledge.
    pub(crate) fn is_new(&mut self, bytes: u64, known: usize) -> bool {
        // Different numbers are spread over all 64 bits.
        let knowledge = (self.epoch << 32 | known as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let is_new = self.seen.insert(bytes ^ knowledge);
        if is_new {
            self.tally.crash_states += 1;
        } else {
            self.tally.duplicates += 1;
        }
        is_new
    }

    /// Takes note of what a recovery did. Whether none did it before.
    pub(crate) fn is_unusual(&mut self, trail: u64) -> bool {
        self.trails.insert(trail)
    }
}
