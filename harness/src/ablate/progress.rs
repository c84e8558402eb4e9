//! What an ablation tells while it goes on.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::Budget;
use crate::tally::Tally;

/// Elsewhere than on a terminal, a line of progress each so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells on standard error how it goes: a bar on a terminal, plain lines elsewhere.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_silent: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    title: String,
    limit: Option<Duration>,
    next_line: Duration,
}

impl Progress {
    /// Tells nothing.
    pub(super) fn silent() -> Self {
        Self {
            is_silent: true,
            ..Self::default()
        }
    }

    pub(super) fn begin(&self, subject: &str, budget: Budget) {
        if self.is_silent {
            return;
        }
        let mut state = self.state();
        state.title = format!("{subject} · ablate");
        state.limit = budget.duration();
        if !std::io::stderr().is_terminal() {
            eprintln!("{}: begins", state.title);
            state.next_line = LINE_EVERY;
            return;
        }
        let bar = match state.limit {
            Some(limit) => ProgressBar::new(limit.as_secs()),
            None => ProgressBar::no_length(),
        };
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(state.title.clone());
        state.bar = Some(bar);
    }

    pub(super) fn census(&self, elapsed: Duration, sites: usize, total: &Tally) {
        let (rounds, states) = (total.rounds, total.crash_states);
        self.tell(elapsed, None, || {
            format!("census: {sites} sites, {rounds} rounds, {states} states")
        });
    }

    /// So many sites are decided, so many wait for their next round.
    pub(super) fn trials(&self, elapsed: Duration, done: usize, waiting: usize) {
        self.tell(elapsed, Some((done, done + waiting)), || {
            format!("{done} sites decided, {waiting} not yet")
        });
    }

    fn tell(&self, elapsed: Duration, part: Option<(usize, usize)>, message: impl Fn() -> String) {
        if self.is_silent {
            return;
        }
        let mut state = self.state();
        match (&state.bar, state.limit, part) {
            (Some(bar), Some(_), _) => {
                bar.set_position(elapsed.as_secs());
                bar.set_message(message());
            }
            (Some(bar), None, part) => {
                if let Some((done, of)) = part {
                    bar.set_length(of as u64);
                    bar.set_position(done as u64);
                }
                bar.set_message(message());
            }
            (None, ..) if elapsed >= state.next_line => {
                eprintln!("{}: {}", state.title, message());
                state.next_line = elapsed + LINE_EVERY;
            }
            (None, ..) => {}
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
