//! Watches a traced run: hears what the store announces, and ends what goes on too long.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Launcher, Patience};
use crate::store::{Assignment, Life, Stop};
use crate::trace::{Run, Stopper, Tracer};

/// Between two looks at a traced process.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What else is looked at, with the number of announcements that were heard. Whether the process is to
/// be ended.
pub(super) type Look<'a> = &'a (dyn Fn(u64) -> io::Result<bool> + Sync);

/// Listens while the process runs, so that it never waits for the harness, and ends what goes on too
/// long.
pub(super) struct Watch<'a> {
    assignment: &'a Assignment,
    stops: &'a AtomicU64,
    stopper: Stopper,
    /// For the whole run, and for the time since the last sign of life.
    patience: Mutex<[Patience; 2]>,
    must_end: bool,
    look: Look<'a>,
    /// Why it was ended.
    stopped: Mutex<Option<Stop>>,
}

/// Says that a run is over when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<'a> Watch<'a> {
    /// `stops` counts the stops of the run, two a call. A run that `must_end` is one that has to end by
    /// itself within the limit.
    pub(super) fn new(
        assignment: &'a Assignment,
        stops: &'a AtomicU64,
        tracer: &Tracer,
        patience: [Patience; 2],
        must_end: bool,
        look: Look<'a>,
    ) -> Self {
        Self {
            assignment,
            stops,
            stopper: tracer.stopper(),
            patience: Mutex::new(patience),
            must_end,
            look,
            stopped: Mutex::new(None),
        }
    }

    /// Watches while `trace` runs. Returns how the run ended, and why it was ended, if it was.
    pub(super) fn over(
        self,
        launcher: &Launcher,
        trace: impl FnOnce() -> io::Result<Run>,
    ) -> io::Result<(Run, Option<Stop>)> {
        let over = AtomicBool::new(false);
        let run = thread::scope(|scope| {
            let watching = scope.spawn(|| self.until(&over, launcher));
            // Also if the tracer panics: the watch ends with it.
            let ending = Ending(&over);
            let run = trace();
            drop(ending);
            watching.join().expect("it does not panic")?;
            run
        })?;
        let stopped = self.stopped.into_inner().expect("it does not panic");
        Ok((run, stopped))
    }

    fn until(&self, over: &AtomicBool, launcher: &Launcher) -> io::Result<()> {
        let [whole, since_sign] = &mut *self.patience.lock().expect("it does not panic");
        let started = Instant::now();
        let mut first_word = None;
        let mut signs = (0, 0);
        while !over.load(Ordering::Acquire) {
            let mut look = || -> io::Result<Option<Stop>> {
                launcher.check_stop()?;
                let heard = self.assignment.announcer.heard()?;
                let now = (self.stops.load(Ordering::Relaxed), heard);
                if now != signs {
                    signs = now;
                    since_sign.begin_again();
                }
                if heard > 0 {
                    first_word = first_word.or_else(|| Some(started.elapsed()));
                }
                if let Some(stop) =
                    self.has_done_enough(heard, started.elapsed(), first_word, whole.limit())
                {
                    return Ok(Some(stop));
                }
                if let Some(how) = self.hangs(whole, since_sign)? {
                    return Ok(Some(Stop::Hangs(how)));
                }
                if (self.look)(heard)? {
                    return Ok(Some(Stop::Enough));
                }
                let is_silent = self.is_silent_for_long(first_word, whole, since_sign)?;
                Ok(is_silent.then_some(Stop::Enough))
            };
            let stop = look().inspect_err(|_| self.stopper.stop())?;
            if stop.is_some() {
                *self.stopped.lock().expect("it does not panic") = stop;
                self.stopper.stop();
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn has_done_enough(
        &self,
        heard: u64,
        lived: Duration,
        first_word: Option<Duration>,
        limit: Duration,
    ) -> Option<Stop> {
        if self.assignment.announcer.is_full() {
            return Some(Stop::Full);
        }
        let life = self.assignment.until.life;
        let is_over = life.is_over(heard, lived, first_word, limit);
        is_over.then_some(Stop::Enough)
    }

    /// A server makes hundreds of calls before it can say a word, but not for ever. One that has shown no sign of
    /// life for a while may hang: that is waited for.
    fn is_silent_for_long(
        &self,
        first_word: Option<Duration>,
        whole: &mut Patience,
        since_sign: &Patience,
    ) -> io::Result<bool> {
        let waits =
            first_word.is_none() && matches!(self.assignment.until.life, Life::FromFirstWord(_));
        let is_over = waits && whole.look()?.is_some();
        Ok(is_over && since_sign.is_young())
    }

    /// How it shows that it hangs.
    fn hangs(&self, whole: &mut Patience, since_sign: &mut Patience) -> io::Result<Option<String>> {
        let calls = self.stops.load(Ordering::Relaxed) / 2;
        if self.must_end
            && let Some(told) = whole.look()?
        {
            let limit = whole.limit();
            return Ok(Some(format!(
                "no end after {limit:?} and {calls} calls\n{told}"
            )));
        }
        let told = since_sign.look()?;
        let limit = since_sign.limit();
        Ok(told
            .map(|told| format!("no call and no event for {limit:?}, after {calls} calls\n{told}")))
    }
}
