//! Watches a traced run: hears what the store announces, and ends what goes on too long.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Launcher;
use crate::store::{Assignment, Life, Stop};
use crate::trace::{Run, Stopper, Tracer};

/// Between two looks at a traced process.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Listens while the process runs, so that it never waits for the harness, and ends what goes on too
/// long.
pub(super) struct Watch<'a> {
    assignment: &'a Assignment,
    stops: &'a AtomicU64,
    stopper: Stopper,
    limit: Duration,
    must_end: bool,
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
        limit: Duration,
        must_end: bool,
    ) -> Self {
        Self {
            assignment,
            stops,
            stopper: tracer.stopper(),
            limit,
            must_end,
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
        let started = Instant::now();
        let mut first_word = None;
        let mut last_sign = (started, (0, 0));
        while !over.load(Ordering::Acquire) {
            let heard = launcher.check_stop();
            let heard = match heard.and_then(|()| self.assignment.announcer.heard()) {
                Ok(heard) => heard,
                Err(error) => {
                    self.stopper.stop();
                    return Err(error);
                }
            };
            let (now, signs) = (Instant::now(), (self.stops.load(Ordering::Relaxed), heard));
            if signs != last_sign.1 {
                last_sign = (now, signs);
            }
            if heard > 0 {
                first_word = first_word.or(Some(now));
            }
            if let Some(stop) = self.why_now(now, started, first_word, last_sign.0) {
                *self.stopped.lock().expect("it does not panic") = Some(stop);
                self.stopper.stop();
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn why_now(
        &self,
        now: Instant,
        started: Instant,
        first_word: Option<Instant>,
        last_sign: Instant,
    ) -> Option<Stop> {
        if self.assignment.announcer.is_full() {
            return Some(Stop::Full);
        }
        let (limit, calls) = (self.limit, self.stops.load(Ordering::Relaxed) / 2);
        if self.must_end && now > started + limit {
            let how = format!("no end after {limit:?} and {calls} calls");
            return Some(Stop::Hangs(how));
        }
        let lived_enough = match (self.assignment.until.life, first_word) {
            (Life::FromStart(max), _) => now > started + max,
            (Life::FromFirstWord(max), Some(first)) => now > first + max,
            // It may still be starting: a server makes hundreds of calls before it can say a word.
            (Life::FromFirstWord(_), None) => now > started + limit,
            (Life::ToItsEnd, _) => false,
        };
        if lived_enough {
            return Some(Stop::Enough);
        }
        let is_still = now > last_sign + limit;
        is_still.then(|| {
            Stop::Hangs(format!(
                "no call and no event for {limit:?}, after {calls} calls"
            ))
        })
    }
}
