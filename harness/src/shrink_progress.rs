//! What shrinking tells while it works: one line on a terminal, nothing elsewhere.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Counts what was tried, and tells it on standard error.
#[derive(Debug)]
pub(crate) struct ShrinkProgress {
    line: ProgressBar,
    tried: Cell<u64>,
    smaller: Cell<u64>,
}

impl ShrinkProgress {
    /// Tells it, if standard error is a terminal.
    pub(crate) fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    pub(crate) fn silent() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let line = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
        line.set_style(style);
        let progress = Self {
            line,
            tried: Cell::new(0),
            smaller: Cell::new(0),
        };
        let first = "shrinking: the failure is played as it was found";
        progress.line.set_message(first);
        progress
    }

    /// Another version was tried; it fails as well, or does not. This much time is left.
    pub(crate) fn tried(&self, fails: bool, left: Duration) {
        self.tried.set(self.tried.get() + 1);
        self.smaller.set(self.smaller.get() + u64::from(fails));
        let (tried, smaller, left) = (self.tried.get(), self.smaller.get(), left.as_secs());
        self.line.set_message(format!(
            "shrinking: versions tried: {tried}, smaller: {smaller}, {left} s left"
        ));
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        self.line.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// The line that a terminal shows, and how often it was rewritten.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<(String, u64)>>);

    impl Terminal {
        fn line(&self) -> (String, u64) {
            self.0.lock().expect("nothing panics").clone()
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            panic!("it has one line")
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, _: &str) -> io::Result<()> {
            panic!("it has one line")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("nothing panics").0.push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            let mut shown = self.0.lock().expect("nothing panics");
            *shown = (String::new(), shown.1 + 1);
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_line_is_rewritten_and_taken_away_in_the_end() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let progress = ShrinkProgress::on(target);
        let (first, _) = terminal.line();
        assert!(first.contains("as it was found"), "{first}");
        let left = Duration::from_secs(9);
        for fails in [false, true, false] {
            progress.tried(fails, left);
        }
        let (line, rewritten) = terminal.line();
        assert_eq!(
            line.trim_end(),
            "shrinking: versions tried: 3, smaller: 1, 9 s left"
        );
        assert!(rewritten >= 3, "{rewritten}");
        progress.end();
        assert_eq!(terminal.line().0.trim(), "");
    }
}
