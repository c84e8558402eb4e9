//! Runs a process of a store until it ends or is to be ended.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::assignment::{Assignment, Life, Until};
use crate::process::{Ended, Launcher, Patience, start};

/// Why a process was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ended by itself.
    Ended,
    /// It had done what was waited for, or had lived long enough.
    Enough,
    /// It had done as many calls as it was to do, and was killed there.
    Killed,
    /// Nothing more of it can be heard.
    Full,
    /// It hangs: how it shows.
    Hangs(String),
}

/// A process that is over.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) ended: Ended,
    pub(crate) stop: Stop,
    /// When it made its first announcement, after its start.
    pub(crate) first_word: Option<Duration>,
    pub(crate) lasted: Duration,
}

/// Runs a process. `clock` is read at each look, before what has been announced is heard.
///
/// # Errors
/// If the process cannot be started, or does not die.
pub(crate) fn run(
    assignment: &Assignment,
    launcher: &Launcher,
    limit: Duration,
    clock: impl Fn() -> u64,
) -> io::Result<Watched> {
    let Assignment {
        order,
        announcer,
        until,
        ..
    } = assignment;
    let mut process = start(launcher, order, limit)?;
    let mut patience = Patience::with_process(process.id(), limit);
    let started = Instant::now();
    let mut first_word = None;
    let mut nap = until.looks.0;
    let stop = loop {
        launcher.check_stop()?;
        let is_over = process.is_over()?;
        let heard = announcer.heard()?;
        // Heard first, read then: what has been heard was announced by then.
        announcer.note(clock())?;
        let lived = started.elapsed();
        if heard > 0 && first_word.is_none() {
            first_word = Some(lived);
        }
        if announcer.is_full() {
            break Stop::Full;
        }
        if is_over {
            break Stop::Ended;
        }
        if until.is_reached(heard, lived, first_word, limit) {
            break Stop::Enough;
        }
        if let Some(how) = until.hangs(first_word, limit, &mut patience)? {
            break Stop::Hangs(how);
        }
        process.rest(nap)?;
        nap = (nap * 5 / 4).min(until.looks.1);
    };
    if stop == Stop::Enough {
        thread::sleep(until.wait);
    }
    let ended = process.end()?;
    // The same signal may have reached what has ended: that says nothing of the store.
    launcher.check_stop()?;
    Ok(Watched {
        ended,
        stop,
        first_word,
        lasted: started.elapsed(),
    })
}

impl Until {
    /// It has done what was waited for, or lived long enough.
    fn is_reached(
        &self,
        heard: u64,
        lived: Duration,
        first_word: Option<Duration>,
        limit: Duration,
    ) -> bool {
        heard >= self.announcements || self.life.is_over(heard, lived, first_word, limit)
    }

    /// How it shows that it hangs.
    fn hangs(
        &self,
        first_word: Option<Duration>,
        limit: Duration,
        patience: &mut Patience,
    ) -> io::Result<Option<String>> {
        let missing = match (self.life, first_word) {
            (Life::FromFirstWord(_), None) => "no word, and no end",
            (Life::ToItsEnd, _) => "no end",
            _ => return Ok(None),
        };
        let told = patience.look()?;
        Ok(told.map(|told| format!("{missing} after {limit:?}\n{told}")))
    }
}
