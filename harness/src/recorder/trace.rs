//! `trace`: a run under ptrace, with a copy of the store's directory at every system call on it.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;

use super::contract::{Recorder, Recording, Run};
use crate::history::Event;
use crate::image::Image;
use crate::oracle::Violation;
use crate::process::{Ended, Launcher};
use crate::store::{Announced, Announcer, Assignment, Life, Mark, Stop, Store, Watched};
use crate::tally::Tally;
use crate::trace::{Call, Decision, End, Kind, Observer, Stopper, Tracer};

/// Between two looks at a traced process.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Runs a store in one directory.
pub(crate) struct TraceRecorder<'a> {
    pub(crate) dir: &'a Path,
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

/// A recorded run. Its moments are the beginning, and the two sides of each call.
#[derive(Debug)]
pub(crate) struct Traced {
    /// What the run found in the directory.
    pub(crate) base: Image,
    pub(crate) steps: Vec<Step>,
    /// The number of calls after which the run was to be killed.
    pub(crate) calls_max: u64,
    announced: Announced,
    /// What the store did wrong by itself.
    pub(crate) failed: Option<Violation>,
}

/// A system call on the directory.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) call: Call,
    pub(crate) before: Look,
    /// None if the run was killed in it.
    pub(crate) after: Option<Look>,
    /// The directory when it was last looked at before the call ended.
    pub(crate) base: Image,
}

/// A look at the directory while no call on it is in flight.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) image: Image,
    /// What had been announced.
    pub(crate) mark: Mark,
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

    /// The mark at a moment.
    fn mark(&self, moment: usize) -> &Mark {
        let Some(moment) = moment.checked_sub(1) else {
            return &Mark::Nothing;
        };
        let step = &self.steps[moment / 2];
        match &step.after {
            Some(after) if moment % 2 == 1 => &after.mark,
            _ => &step.before.mark,
        }
    }
}

impl Recording for Traced {
    fn moments(&self) -> usize {
        1 + 2 * self.steps.len()
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        self.announced.at(self.mark(moment))
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
        let calls_max = calls_max.unwrap_or(assignment.until.calls);
        let must_end = matches!(run, Run::Recover { .. });
        let copier = Copier::new(self.dir, &assignment, base, calls_max);
        let (launcher, limit) = store.launching();
        let (watched, copier) = trace(&assignment, launcher, limit, must_end, copier)?;
        let Copier { steps, last, .. } = copier;
        tally.calls += steps.len() as u64;
        if watched.stop == Stop::Killed {
            // What the real kill left must be what was copied there.
            tally.calibrations += 1;
            let left = Image::read(self.dir, &last)?;
            if let Some(name) = left.difference(&last) {
                tally.miscalibrated += 1;
                eprintln!("a real kill left another {} than the copy", name.display());
            }
        }
        let (announced, failed) = if must_end {
            (Announced::Nothing, store.recovered(&watched)?.err())
        } else {
            let written = store.written(&watched)?;
            (written.announced, written.failed)
        };
        Ok(Traced {
            base: base.clone(),
            steps,
            calls_max,
            announced,
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
    let tracer = Tracer::new(child, copier.dir)?.wait_in_rings(assignment.ring_waits);
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

/// Copies the directory at each stop.
struct Copier<'a> {
    dir: &'a Path,
    announcer: Arc<dyn Announcer>,
    /// What the store hands to `io_uring` is done when the call returns.
    ring_waits: bool,
    calls_max: u64,
    /// How often it was called: a sign of life.
    stops: Arc<AtomicU64>,
    last: Image,
    steps: Vec<Step>,
    error: Option<io::Error>,
}

impl<'a> Copier<'a> {
    fn new(dir: &'a Path, assignment: &Assignment, base: &Image, calls_max: u64) -> Self {
        Self {
            dir,
            announcer: Arc::clone(&assignment.announcer),
            ring_waits: assignment.ring_waits,
            calls_max,
            stops: Arc::default(),
            last: base.clone(),
            steps: Vec::new(),
            error: None,
        }
    }

    fn count(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    /// The announcements first: one that comes after the copy must not count for it.
    fn look(&self) -> io::Result<Look> {
        let mark = self.announcer.mark()?;
        let image = Image::read(self.dir, &self.last)?;
        Ok(Look { image, mark })
    }

    fn begin(&mut self, call: &Call) -> io::Result<()> {
        if !self.ring_waits {
            refuse_io_uring(call)?;
        }
        // Nothing but traced calls changes the directory, and they come one at a time: it is as it
        // was after the last one.
        let before = Look {
            image: self.last.clone(),
            mark: self.announcer.mark()?,
        };
        self.steps.push(Step {
            call: call.clone(),
            base: before.image.clone(),
            before,
            after: None,
        });
        Ok(())
    }

    /// Calls that are never held back may overlap: the end belongs to the call of the same thread.
    fn end(&mut self, call: &Call) -> io::Result<()> {
        let after = self.look()?;
        let last = std::mem::replace(&mut self.last, after.image.clone());
        let is_it = |step: &&mut Step| step.after.is_none() && step.call.thread() == call.thread();
        let step = self.steps.iter_mut().rev().find(is_it);
        let step =
            step.ok_or_else(|| io::Error::other(format!("{call} ends without a beginning")))?;
        step.base = last;
        step.after = Some(after);
        Ok(())
    }
}

impl Observer for Copier<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        self.count();
        match self.begin(call) {
            Ok(()) => Decision::Continue,
            Err(error) => {
                self.error = Some(error);
                Decision::Kill
            }
        }
    }

    fn after(&mut self, call: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        self.count();
        if let Err(error) = self.end(call) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if self.steps.len() as u64 >= self.calls_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What `io_uring` has been handed is carried out while every thread is stopped: a copy would show
/// states that no crash leaves.
fn refuse_io_uring(call: &Call) -> io::Result<()> {
    if call.kind() == Kind::IoUring && call.length().is_some_and(|requests| requests > 0) {
        let reason = "the store writes through io_uring, whose requests go on while all threads are stopped: \
                      `syscall` cannot copy its states, use `kill`";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    Ok(())
}
