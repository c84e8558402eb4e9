//! Live progress and the verdict table, for people.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::tcgetwinsize;

use super::reporter::{Progress, Reporter};
use super::row::SavedFailure;
use super::summary;
use crate::plan::Budget;
use crate::tally::Tally;

/// Elsewhere than on a terminal, progress is a line at this interval.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Reports to people: a bar on a terminal, plain lines elsewhere, all on standard error; the table
/// goes to standard output.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    title: String,
    budget: Option<Budget>,
    next_line: Duration,
}

impl Reporter for Terminal {
    fn report(&self, event: &Progress<'_>) {
        let mut state = self.state();
        match *event {
            Progress::RowBegan {
                subject,
                case,
                budget,
            } => state.begin(format!("{subject} · {case}"), budget),
            Progress::RoundEnded { total, elapsed } => state.advance(total, elapsed),
            Progress::FailureSaved(failure) => state.tell(failure),
            Progress::RowEnded(_) => state.end(),
            Progress::RunEnded { rows, closing } => {
                print!("{}", summary::of(rows, closing, width()));
            }
        }
    }
}

impl Terminal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, title: String, budget: Budget) {
        self.title = title;
        self.next_line = LINE_EVERY;
        self.budget = Some(budget);
        if !std::io::stderr().is_terminal() {
            eprintln!("{}: begins", self.title);
            return;
        }
        let length = match budget {
            Budget::Rounds(rounds) => rounds,
            Budget::Duration(duration) => duration.as_secs(),
        };
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(self.title.clone());
        self.bar = Some(bar);
    }

    fn advance(&mut self, total: &Tally, elapsed: Duration) {
        let message = format!(
            "{} rounds, {} acked, {} violations, {:.0} rounds/s",
            total.rounds,
            total.acked,
            total.violations,
            total.rounds as f64 / elapsed.as_secs_f64(),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(match self.budget {
                    Some(Budget::Duration(_)) => elapsed.as_secs(),
                    _ => total.rounds,
                });
                bar.set_message(message);
            }
            None if elapsed >= self.next_line => {
                eprintln!("{}: {message}", self.title);
                self.next_line = elapsed + LINE_EVERY;
            }
            None => {}
        }
    }

    fn tell(&self, failure: &SavedFailure) {
        match &self.bar {
            Some(bar) => bar.println(failure.told()),
            None => eprintln!("{}", failure.told()),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// The width of the terminal that standard output is, in columns.
fn width() -> Option<u16> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}
