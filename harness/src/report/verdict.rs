//! What a torture as a whole has shown.

use std::collections::BTreeMap;

use super::row::Row;
use crate::shard::Shard;

/// What a report says of the torture as a whole, besides its rows.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) seed: u64,
    pub(crate) shard: Shard,
    /// The signal that asked for the end: this is what was done by then.
    pub(crate) signal: Option<i32>,
    /// Rows that were planned and not begun: subject and case.
    pub(crate) not_run: Vec<String>,
}

impl Closing {
    /// The signal, if it came before everything was done.
    pub(crate) fn interrupted(&self, rows: &[Row]) -> Option<i32> {
        let is_whole = self.not_run.is_empty() && !rows.iter().any(|row| row.cut_short);
        self.signal.filter(|_| !is_whole)
    }

    /// The process's exit status.
    pub(crate) fn exit_status(&self, rows: &[Row]) -> u8 {
        match (Verdict::of(rows), self.interrupted(rows)) {
            (Verdict::Violation, _) | (_, None) => Verdict::of(rows).exit_status(),
            (_, Some(signal)) => exit_status_of(signal),
        }
    }
}

/// The exit status of a process that a signal has ended, as a shell has it.
pub(crate) fn exit_status_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// The crash kinds that this machine cannot run, and why.
pub(crate) fn unavailable(rows: &[Row]) -> BTreeMap<String, &str> {
    rows.iter()
        .filter_map(|row| Some((row.case(), row.unavailable.as_deref()?)))
        .collect()
}

/// What could not be done to its end, and why.
pub(crate) fn errors(rows: &[Row]) -> BTreeMap<String, &str> {
    rows.iter()
        .filter_map(|row| {
            let name = format!("{}, {}", row.subject, row.case());
            Some((name, row.error.as_deref()?))
        })
        .collect()
}

/// What was interrupted before its end.
pub(crate) fn cut_short(rows: &[Row]) -> Vec<String> {
    let cut = rows.iter().filter(|row| row.cut_short);
    cut.map(|row| format!("{}, {}", row.subject, row.case()))
        .collect()
}

/// The verdict over all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No promise was broken.
    Pass,
    /// At least one was.
    Violation,
    /// None that is known: a row could not be done to its end.
    Environment,
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
        } else if done().any(|row| row.error.is_some()) {
            Self::Environment
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
            Self::Environment | Self::Vacuous => 2,
        }
    }
}
