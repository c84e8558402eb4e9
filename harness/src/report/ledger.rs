//! What a torture has done by now: for the report at its end, whichever way it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::reporter::{Progress, Reporter};
use super::row::{Coverage, Row, SavedFailure};
use super::verdict::Closing;
use crate::hang::Hang;
use crate::shard::Shard;
use crate::tally::Tally;

/// Keeps the rows, and hands every event to a reporter. Nothing that can block is done under its lock.
pub(crate) struct Ledger {
    reporter: Box<dyn Reporter>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seed: u64,
    shard: Shard,
    /// Subject and case of each row, in order.
    planned: Vec<(String, String)>,
    rows: Vec<Row>,
    current: Option<Current>,
    is_closed: bool,
    /// The work is over, but the end was reported before.
    is_over: bool,
}

/// The row that is being done.
struct Current {
    row: Row,
    started: Instant,
}

/// The state of a row after a round.
pub(crate) struct Noted {
    pub(crate) failures: usize,
    pub(crate) has_error: bool,
}

impl Ledger {
    pub(crate) fn new(reporter: Box<dyn Reporter>) -> Self {
        Self {
            reporter,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that are going to be done.
    pub(crate) fn plan(&self, seed: u64, shard: Shard, planned: Vec<(String, String)>) {
        let mut state = self.state();
        (state.seed, state.shard, state.planned) = (seed, shard, planned);
    }

    /// Hands on an event, until the end was reported.
    pub(crate) fn report(&self, event: &Progress<'_>) {
        if !self.state().is_closed {
            self.reporter.report(event);
        }
    }

    /// A row begins.
    pub(crate) fn begin(&self, row: Row, started: Instant) {
        self.state().current = Some(Current { row, started });
    }

    /// Changes the row that is being done.
    fn update<T>(&self, change: impl FnOnce(&mut Row) -> T) -> T {
        let mut state = self.state();
        let current = state.current.as_mut().expect("a row has begun");
        change(&mut current.row)
    }

    /// Adds what a round did. Returns the row's tally before and after.
    pub(crate) fn add(&self, tally: &Tally) -> (Tally, Tally) {
        self.update(|row| {
            let before = row.tally.clone();
            row.tally.add(tally);
            (before, row.tally.clone())
        })
    }

    pub(crate) fn add_failure(&self, failure: SavedFailure) {
        self.report(&Progress::FailureSaved(&failure));
        self.update(|row| row.failures.push(failure));
    }

    /// Whether a failure of this class was saved in this row.
    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.update(|row| row.failures.iter().any(|known| known.class == class))
    }

    /// The row cannot be done to its end: the first reason counts.
    pub(crate) fn set_error(&self, error: String) {
        self.update(|row| {
            row.error.get_or_insert(error);
        });
    }

    /// The end of all was asked for before the row's.
    pub(crate) fn cut_short(&self) {
        self.update(|row| row.cut_short = true);
    }

    pub(crate) fn noted(&self) -> Noted {
        self.update(|row| Noted {
            failures: row.failures.len(),
            has_error: row.error.is_some(),
        })
    }

    /// The store of the row that is being done hangs: its row ends here.
    pub(crate) fn hangs(&self, hang: &Hang) {
        let failure = SavedFailure {
            folder: hang.saved.as_ref().cloned().unwrap_or_default(),
            violation: hang.to_string(),
            class: hang.violation.class(),
            after_states: 0,
            after_s: 0.0,
        };
        let mut state = self.state();
        let current = state.current.get_or_insert_with(|| Current {
            row: Row::nothing(&hang.subject, hang.crash, None, hang.seed),
            started: Instant::now(),
        });
        current.row.tally.violated(&hang.violation);
        current.row.failures.push(failure);
    }

    /// The row that was begun has ended. `finish` has the last word on it.
    pub(crate) fn end(&self, finish: impl FnOnce(Row) -> Row) {
        let current = self.state().current.take().expect("a row has begun");
        self.push(finish(current.over()));
    }

    /// A row that has ended, or could not begin.
    pub(crate) fn push(&self, row: Row) {
        self.report(&Progress::RowEnded(&row));
        self.state().rows.push(row);
    }

    /// All rows, also the one that is being done, as far as it has come.
    pub(crate) fn so_far(&self) -> Vec<Row> {
        self.state().so_far()
    }

    /// Whether the work came to its end after that had been reported.
    pub(crate) fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Reports the end, once. Returns the process's exit status, or `None` if the end was reported
    /// before.
    pub(crate) fn close(&self, signal: Option<i32>) -> Option<u8> {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_closed, true) {
            state.is_over = true;
            return None;
        }
        let rows = state.so_far();
        let is_done = |planned: &(String, String)| {
            let mut done = rows.iter();
            done.any(|row| (&row.subject, &row.case()) == (&planned.0, &planned.1))
        };
        let left = state.planned.iter().filter(|planned| !is_done(planned));
        let left = left.map(|(subject, case)| format!("{subject}, {case}"));
        let closing = Closing {
            seed: state.seed,
            shard: state.shard,
            signal,
            not_run: left.collect(),
        };
        drop(state);
        self.reporter.report(&Progress::RunEnded {
            rows: &rows,
            closing: &closing,
        });
        Some(closing.exit_status(&rows))
    }
}

impl State {
    fn so_far(&self) -> Vec<Row> {
        let current = self.current.as_ref().map(|current| Row {
            cut_short: true,
            ..current.over()
        });
        self.rows.iter().cloned().chain(current).collect()
    }
}

impl Current {
    /// The row, if it ended now.
    fn over(&self) -> Row {
        let elapsed_s = self.started.elapsed().max(Duration::from_micros(1));
        let elapsed_s = elapsed_s.as_secs_f64();
        let tally = &self.row.tally;
        Row {
            elapsed_s,
            rounds_per_s: tally.rounds as f64 / elapsed_s,
            states_per_s: tally.crash_states as f64 / elapsed_s,
            coverage: Coverage::Sampled,
            ..self.row.clone()
        }
    }
}
