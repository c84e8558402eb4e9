//! A traced run, and the moments at which the store could have died in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::child::{Role, Target, printed, spawn};
use crate::finding::KillPoint;
use crate::history::{Event, History, Mark};
use crate::image::Image;
use crate::tally::Tally;
use crate::trace::{Call, Decision, End, Kind, Observer, Run, Tracer};

const PAGE: usize = 4096;
/// Cuts inside one write, at most, besides those drawn.
const PAGE_CUTS_MAX: usize = 8;

/// A moment at which the store could have died.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) image: Image,
    pub(super) mark: Mark,
    /// Where a run has to be killed to leave it, if a call's end or inside says so.
    pub(super) kill: Option<KillPoint>,
    /// For people: `before fdatasync(log)`.
    pub(super) point: String,
}

impl State {
    /// Two states with equal files and equal announcements are one.
    pub(super) fn fingerprint(&self, events: &[Event]) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.image.fingerprint().hash(&mut hasher);
        events.len().hash(&mut hasher);
        self.mark.hash(&mut hasher);
        hasher.finish()
    }
}

/// What a traced run leaves.
pub(super) struct Recording {
    pub(super) states: Vec<State>,
    /// The run stopped by itself although it must not, and said so.
    pub(super) stopped: Option<String>,
}

impl Recording {
    /// Runs a child under trace in an image, kills it after so many calls, and keeps the states it
    /// went through.
    ///
    /// A child that has done all it was told may end before, with exit status 0.
    pub(super) fn make(
        Traced { target, ring_waits }: Traced,
        role: Role,
        base: &Image,
        history: Option<&History>,
        kill: KillPoint,
        rng: &mut ChaCha8Rng,
        tally: &mut Tally,
    ) -> io::Result<Self> {
        base.write(&target.dir)?;
        let (child, output) = spawn(target, role, true)?;
        let mut recorder = Recorder {
            stops: Arc::default(),
            ring_waits,
            dir: &target.dir,
            history,
            rng,
            kill,
            calls: 0,
            last: base.clone(),
            states: Vec::new(),
            error: None,
        };
        recorder.states.push(State {
            image: base.clone(),
            mark: Mark::default(),
            kill: Some(KillPoint {
                calls: 0,
                inside: None,
            }),
            point: "before the first call".to_owned(),
        });
        let tracer = Tracer::new(child, &target.dir)?.wait_in_rings(ring_waits);
        let run = match history {
            Some(history) => run_writer(tracer, &mut recorder, history, target.hang_limit),
            None => tracer.time_limit(target.hang_limit).run(&mut recorder),
        }?;
        let Recorder {
            states,
            last,
            error,
            ..
        } = recorder;
        if let Some(error) = error {
            return Err(error);
        }
        let stopped = match run.end {
            End::Killed => {
                // What the real kill left must be what was copied there.
                tally.calibrations += 1;
                let left = Image::read(&target.dir, &last)?;
                if let Some(name) = left.difference(&last) {
                    tally.miscalibrated += 1;
                    eprintln!("a real kill left another {} than the copy", name.display());
                }
                None
            }
            End::Exited(0) if history.is_none() && run.left_behind > 0 => Some(format!(
                "it has left {} processes behind that it had started",
                run.left_behind
            )),
            End::Exited(0) => None,
            End::Exited(status) => Some(format!("exit status {status}: {}", printed(&output))),
            End::Signaled(signal) => Some(format!("signal {signal}: {}", printed(&output))),
            // Nothing is wrong with a writer that has filled its history: it waits to be killed.
            End::Stopped if history.is_some_and(History::is_full) => None,
            End::Stopped => Some(format!(
                "it hangs: no call and no event for {:?}, after {} calls",
                target.hang_limit, run.calls
            )),
            End::TimedOut => Some(format!(
                "it hangs: no end after {:?} and {} calls",
                target.hang_limit, run.calls
            )),
        };
        tally.calls += run.calls;
        Ok(Self { states, stopped })
    }
}

/// A writer has no end of its own. It hangs if it neither comes to a call nor records an event for
/// so long, and is stopped then.
fn run_writer(
    tracer: Tracer,
    recorder: &mut Recorder<'_>,
    history: &History,
    limit: Duration,
) -> io::Result<Run> {
    let (stopper, stops) = (tracer.stopper(), Arc::clone(&recorder.stops));
    let (ending, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut before = (0, 0);
            while ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let now = (stops.load(Ordering::Relaxed), history.reserved());
                if now == before {
                    stopper.stop();
                }
                before = now;
            }
        });
        // Also when it panics: whoever watches ends with this.
        let _ending = ending;
        tracer.run(recorder)
    })
}

/// What `io_uring` has been handed is carried out while every thread is stopped: a copy would show
/// states that no crash leaves.
pub(crate) fn refuse_io_uring(call: &Call) -> io::Result<()> {
    if call.kind() == Kind::IoUring && call.length().is_some_and(|requests| requests > 0) {
        let reason = "the store writes through io_uring, whose requests go on while all threads are stopped: \
                      `syscall` cannot copy its states, use `kill`";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    Ok(())
}

/// What is traced.
#[derive(Clone, Copy)]
pub(super) struct Traced<'a> {
    pub(super) target: &'a Target,
    /// It has one `io_uring` request in flight at most, and the call that hands it over waits for it.
    pub(super) ring_waits: bool,
}

/// Copies the directory at each stop.
struct Recorder<'a> {
    /// How often it was called: a sign of life.
    stops: Arc<AtomicU64>,
    /// What the store hands to `io_uring` is done when the call returns.
    ring_waits: bool,
    dir: &'a Path,
    history: Option<&'a History>,
    rng: &'a mut ChaCha8Rng,
    kill: KillPoint,
    calls: u64,
    last: Image,
    states: Vec<State>,
    error: Option<io::Error>,
}

impl Recorder<'_> {
    /// The history first: an event published after the copy must not count for it.
    fn mark(&self) -> Mark {
        self.history.map(History::mark).unwrap_or_default()
    }

    fn copy(&mut self) -> Option<Image> {
        match Image::read(self.dir, &self.last) {
            Ok(image) => Some(image),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// States inside a write: the old file with a prefix of what was written.
    fn inside(&mut self, call: &Call, before: &Image, after: &Image, mark: &Mark) {
        let Some((name, range)) = written_range(call, before, after) else {
            return;
        };
        let (Some(new), old) = (after.file(&name), before.file(&name).unwrap_or(&[])) else {
            return;
        };
        let pages = (range.start / PAGE + 1..range.end.div_ceil(PAGE)).map(|page| page * PAGE);
        let mut cuts: Vec<usize> = pages.take(PAGE_CUTS_MAX).collect();
        if range.len() > 1 {
            cuts.extend((0..2).map(|_| self.rng.random_range(range.start + 1..range.end)));
        }
        if let KillPoint {
            calls,
            inside: Some(bytes),
        } = self.kill
            && calls == self.calls
        {
            let wanted = usize::try_from(bytes)
                .ok()
                .and_then(|bytes| range.start.checked_add(bytes));
            cuts.extend(wanted.filter(|cut| range.contains(cut)));
        }
        for cut in cuts {
            let mut bytes = old.to_vec();
            bytes.resize(old.len().max(cut), 0);
            bytes[range.start..cut].copy_from_slice(&new[range.start..cut]);
            self.states.push(State {
                image: before.with_file(&name, bytes),
                mark: mark.clone(),
                kill: Some(KillPoint {
                    calls: self.calls,
                    inside: Some((cut - range.start) as u64),
                }),
                point: format!("{} bytes into {call}", cut - range.start),
            });
        }
    }
}

/// Which bytes of which file a call wrote, if it is a write.
pub(crate) fn written_range(
    call: &Call,
    before: &Image,
    after: &Image,
) -> Option<(PathBuf, Range<usize>)> {
    if call.kind() != Kind::Write {
        return None;
    }
    let name = call.paths().first()?.clone();
    let (old, new) = (before.file(&name).unwrap_or(&[]), after.file(&name)?);
    let same = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    if same == new.len() {
        return None;
    }
    let len = usize::try_from(call.length()?).ok()?;
    // A file that is open to be appended to is written at its end, whatever pwrite is told.
    let start = call
        .offset()
        .and_then(|at| usize::try_from(at).ok())
        .filter(|at| *at <= same && same - at < len)
        .unwrap_or(same);
    let end = start.checked_add(len)?.min(new.len());
    (start < end).then_some((name, start..end))
}

impl Observer for Recorder<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        self.stops.fetch_add(1, Ordering::Relaxed);
        if !self.ring_waits
            && let Err(error) = refuse_io_uring(call)
        {
            self.error = Some(error);
            return Decision::Kill;
        }
        let mark = self.mark();
        // Nothing but traced calls changes the directory, and they come one at a time: it is as it
        // was after the last one.
        self.states.push(State {
            image: self.last.clone(),
            mark,
            kill: None,
            point: format!("before {call}"),
        });
        self.calls += 1;
        Decision::Continue
    }

    fn after(&mut self, call: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        self.stops.fetch_add(1, Ordering::Relaxed);
        let mark = self.mark();
        let Some(image) = self.copy() else {
            return ControlFlow::Break(());
        };
        let before = std::mem::replace(&mut self.last, image.clone());
        self.inside(call, &before, &image, &mark);
        self.states.push(State {
            image,
            mark,
            kill: Some(KillPoint {
                calls: self.calls,
                inside: None,
            }),
            point: format!("after {call}"),
        });
        if self.calls >= self.kill.calls {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
