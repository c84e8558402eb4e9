//! What a torture as a whole has shown.

use std::collections::BTreeMap;

use super::row::Row;
use crate::shard::Shard;

/// What a report says of the torture as a whole, besides its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    pub(crate) seed: u64,
    pub(crate) shard: Shard,
    /// Stopped by the user: this is what was done by then.
    pub(crate) interrupted: bool,
}

/// The crash kinds that this machine cannot run, and why.
pub(crate) fn unavailable(rows: &[Row]) -> BTreeMap<String, &str> {
    rows.iter()
        .filter_map(|row| Some((row.case(), row.unavailable.as_deref()?)))
        .collect()
}

/// The verdict over all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No promise was broken.
    Pass,
    /// At least one was.
    Violation,
    /// Nothing was shown: a row acknowledged nothing, or never crashed in the middle of work.
    Vacuous,
}

impl Verdict {
    /// Of these rows. What this machine cannot run is reported, and does not count. No row at all is
    /// vacuous.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let done = || rows.iter().filter(|row| row.unavailable.is_none());
        if done().any(|row| row.tally.violations > 0) {
            Self::Violation
        } else if done().next().is_none() || done().any(|row| row.tally.is_vacuous()) {
            Self::Vacuous
        } else {
            Self::Pass
        }
    }

    /// The process's exit status.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Violation => 1,
            Self::Vacuous => 2,
        }
    }
}
