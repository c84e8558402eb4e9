//! How a torture tells what it does and finds: for people, and for programs.

mod json;
mod terminal;

pub(crate) use json::Json;
pub(crate) use terminal::Terminal;

use crate::campaign::Row;

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
    /// Of these rows. No row at all is vacuous.
    pub(crate) fn of(rows: &[Row]) -> Self {
        if rows.iter().any(|row| row.tally.violations > 0) {
            Self::Violation
        } else if rows.is_empty() || rows.iter().any(|row| row.tally.is_vacuous()) {
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
