//! What happens during a torture, for those that report it.

use std::time::Duration;

use super::row::{Row, SavedFailure};
use super::verdict::Closing;
use crate::plan::Budget;
use crate::tally::Tally;

/// A progress event of a torture.
pub(crate) enum Progress<'a> {
    /// A row begins.
    RowBegan {
        subject: &'a str,
        /// The row's [case](Row::case).
        case: &'a str,
        budget: Budget,
    },
    /// A round has ended.
    RoundEnded {
        /// The row so far.
        total: &'a Tally,
        /// Since the row began.
        elapsed: Duration,
    },
    /// A failure was saved.
    FailureSaved(&'a SavedFailure),
    /// A row has ended, or is unavailable.
    RowEnded(&'a Row),
    /// All rows have ended.
    RunEnded {
        rows: &'a [Row],
        closing: &'a Closing,
    },
}

/// Receives progress events, from many threads at the same time.
pub(crate) trait Reporter: Send + Sync {
    /// Reports an event.
    fn report(&self, event: &Progress<'_>);
}

/// Reports nothing: a test has its own way to fail.
pub(crate) struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Progress<'_>) {}
}
