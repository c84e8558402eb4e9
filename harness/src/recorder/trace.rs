//! `trace`: a run under ptrace, with a copy of the store's directory at every system call on it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;

use super::contract::{Recorder, Recording, Run};
use super::copier::{Copier, Step};
use crate::history::Event;
use crate::ignored::Ignored;
use crate::image::Image;
use crate::oracle::Violation;
use crate::process::{Ended, Launcher};
use crate::store::{Announced, Assignment, Calls, Life, Span, Stop, Store, Watched};
use crate::tally::Tally;
use crate::trace::{End, Stopper, Tracer};

/// Between two looks at a traced process.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Runs a store in one directory.
pub(crate) struct TraceRecorder<'a> {
    pub(crate) dir: &'a Path,
    /// What a real kill may leave in another state than the copy.
    pub(crate) ignored: &'a [Ignored],
}

/// A run under trace.
pub(crate) struct TraceRun<'r> {
    pub(crate) store: &'r mut dyn Store,
    /// What the run finds in the directory.
    pub(crate) base: &'r Image,
    pub(crate) run: Run<'r>,
    /// The run is killed after this many calls; if not given, after as many as the store says.
    pub(crate) calls_max: Option<u64>,
    pub(crate) rng: &'r mut ChaCha8Rng,
    pub(crate) tally: &'r mut Tally,
}

/// A recorded run. Its moments are the beginning, the two sides of each call, and the end if the run was
/// not killed after a call.
#[derive(Debug)]
pub(crate) struct Traced {
    /// What the run found in the directory.
    pub(crate) base: Image,
    pub(crate) steps: Vec<Step>,
    announced: Announced,
    /// The directory when nothing of the run was left.
    pub(crate) end: Option<Image>,
    /// What the store did wrong by itself.
    pub(crate) failed: Option<Violation>,
}

impl Traced {
    /// All that was announced.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.announced.events()
    }

    /// Whether it is known what was announced.
    pub(crate) fn is_understood(&self) -> bool {
        !matches!(self.announced, Announced::Nothing)
    }

    /// What was announced around a moment. `None` at the end: all that was announced.
    fn span(&self, moment: usize) -> Option<&Span> {
        let Some(moment) = moment.checked_sub(1) else {
            return Some(&Span::NOTHING);
        };
        let step = self.steps.get(moment / 2)?;
        Some(match &step.after {
            Some(after) if moment % 2 == 1 => &after.span,
            _ => &step.before.span,
        })
    }
}

impl Recording for Traced {
    fn moments(&self) -> usize {
        1 + 2 * self.steps.len() + usize::from(self.end.is_some())
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        match self.span(moment) {
            Some(span) => self.announced.during(span),
            None => self.announced.events(),
        }
    }
}

impl Recorder for TraceRecorder<'_> {
    type Run<'r> = TraceRun<'r>;
    type Recording = Traced;

    fn record(&mut self, run: TraceRun<'_>) -> io::Result<Traced> {
        let TraceRun {
            store,
            base,
            run,
            calls_max,
            rng,
            tally,
        } = run;
        base.write(self.dir)?;
        let assignment = match run {
            Run::Write(work) => store.writer(self.dir, work, rng)?,
            Run::Recover { close } => store.recovery(self.dir, close)?,
        };
        let calls_max = calls_max.map_or(assignment.until.calls, Calls::FromStart);
        let must_end = matches!(run, Run::Recover { .. });
        let copier = Copier::new(self.dir, &assignment, base, calls_max)?;
        let (launcher, limit) = store.launching();
        let (watched, copier) = trace(&assignment, launcher, limit, must_end, copier)?;
        tally.calls += copier.steps.len() as u64;
        let mut end = None;
        if watched.stop == Stop::Killed {
            // What the real kill left must be what was copied there.
            tally.calibrations += 1;
            let differs = copier.differs_from(self.ignored)?;
            if let [first, ..] = &*differs {
                tally.miscalibrated += 1;
                let (dir, more) = (self.dir.display(), differs.len() - 1);
                eprintln!(
                    "a real kill left another {dir}/{} than the copy, and {more} more",
                    first.display()
                );
            }
        } else {
            end = Some(copier.left()?);
        }
        let steps = copier.steps;
        let (announced, failed) = if must_end {
            (Announced::Nothing, store.recovered(&watched)?.err())
        } else {
            let written = store.written(&watched)?;
            (written.announced, written.failed)
        };
        Ok(Traced {
            base: base.clone(),
            steps,
            announced,
            end,
            failed,
        })
    }
}

/// Runs a process under trace to its end, or until it is to be ended.
fn trace<'a>(
    assignment: &Assignment,
    launcher: &Launcher,
    limit: Duration,
    must_end: bool,
    mut copier: Copier<'a>,
) -> io::Result<(Watched, Copier<'a>)> {
    let (child, output) = launcher.spawn_traced(&assignment.order)?;
    let tracer = Tracer::new(child, copier.dir())?.wait_in_rings(assignment.ring_waits);
    let stops = Arc::clone(&copier.stops);
    let watch = Watch {
        assignment,
        stops: &stops,
        stopper: tracer.stopper(),
        limit,
        must_end,
        stopped: Mutex::new(None),
    };
    let started = Instant::now();
    let over = AtomicBool::new(false);
    let run = thread::scope(|scope| {
        let watching = scope.spawn(|| watch.until(&over));
        // Also if the tracer panics: the watch ends with it.
        let ending = Ending(&over);
        let run = tracer.run(&mut copier);
        drop(ending);
        watching.join().expect("it does not panic")?;
        run
    })?;
    if let Some(error) = copier.error.take() {
        return Err(error);
    }
    let stopped = watch.stopped.into_inner().expect("it does not panic");
    let stop = match (run.end, stopped) {
        (End::Killed, _) => Stop::Killed,
        (End::Stopped | End::TimedOut, Some(stop)) => stop,
        _ => Stop::Ended,
    };
    let watched = Watched {
        ended: Ended::of_trace(&run, &output),
        stop,
        first_word: None,
        lasted: started.elapsed(),
    };
    Ok((watched, copier))
}

/// Says that a run is over when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Listens while the process runs, so that it never waits for the harness, and ends what goes on too
/// long.
struct Watch<'a> {
    assignment: &'a Assignment,
    stops: &'a AtomicU64,
    stopper: Stopper,
    limit: Duration,
    must_end: bool,
    /// Why it was ended.
    stopped: Mutex<Option<Stop>>,
}

impl Watch<'_> {
    fn until(&self, over: &AtomicBool) -> io::Result<()> {
        let started = Instant::now();
        let mut first_sign = None;
        let mut last_sign = (started, (0, 0));
        while !over.load(Ordering::Acquire) {
            let heard = match self.assignment.announcer.heard() {
                Ok(heard) => heard,
                Err(error) => {
                    self.stopper.stop();
                    return Err(error);
                }
            };
            let (now, signs) = (Instant::now(), (self.stops.load(Ordering::Relaxed), heard));
            if signs != last_sign.1 {
                last_sign = (now, signs);
                first_sign = first_sign.or(Some(now));
            }
            if let Some(stop) = self.why_now(now, started, first_sign, last_sign.0) {
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
        first_sign: Option<Instant>,
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
        let lived_enough = match (self.assignment.until.life, first_sign) {
            (Life::FromStart(max), _) => now > started + max,
            // A process that has done nothing at all may still be starting.
            (Life::FromFirstWord(max), Some(first)) => now > first + max,
            _ => false,
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
