//! Progress on standard error: a bar on a terminal, elsewhere a line a tenth of long work.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::bytes::human;

/// Less work than this is done before anybody asks.
const LONG_BYTES: u64 = 1 << 30;

pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    tenth: u64,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(template).expect("a valid template");
            ProgressBar::new(total).with_style(style).with_prefix(what)
        });
        Self {
            what,
            total,
            bar,
            tenth: 0,
        }
    }

    /// `done` bytes are done.
    pub(crate) fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.min(self.total));
        } else if self.total >= LONG_BYTES && done / (self.total / 10) > self.tenth {
            self.tenth = done / (self.total / 10);
            let (done, total) = (human(done), human(self.total));
            eprintln!("{}: {done} of {total}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
