//! A traced run of a command, and the moments at which the store could have died in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::channel::{Channel, Mark};
use super::keeper::{Order, Outcome};
use crate::child::{Launcher, printed};
use crate::crash::{refuse_io_uring, written_range};
use crate::image::Image;
use crate::tally::Tally;
use crate::trace::{Call, Decision, End, Observer, Stopper, Tracer};

const PAGE: usize = 4096;
/// Cuts inside one write at page boundaries, at most; one more is drawn.
const PAGE_CUTS_MAX: usize = 2;
/// A writer that works slowly, or waits for something, is killed after so long.
const LIFE_MAX: Duration = Duration::from_secs(2);

/// A moment at which the store could have died.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) image: Image,
    pub(super) mark: Mark,
    /// For people: `before fdatasync(log)`.
    pub(super) point: String,
}

impl State {
    /// Two states with equal files and equally many events are one.
    pub(super) fn fingerprint(&self, events: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.image.fingerprint().hash(&mut hasher);
        events.hash(&mut hasher);
        hasher.finish()
    }
}

/// What a traced run leaves.
pub(super) struct Recording {
    pub(super) states: Vec<State>,
    /// What the program did wrong.
    pub(super) trouble: Option<Trouble>,
}

/// What a traced program did wrong.
pub(super) enum Trouble {
    Stopped(String),
    Hangs(String),
}

/// A run to make.
pub(super) struct Traced<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) order: Order,
    pub(super) dir: &'a Path,
    pub(super) channel: &'a Channel,
    /// A writer is killed after so many calls on the directory; a checker has to end.
    pub(super) calls_max: Option<u64>,
    pub(super) hang_limit: Duration,
}

impl Traced<'_> {
    /// Runs it in an image and keeps the states it went through.
    pub(super) fn record(
        self,
        base: &Image,
        rng: &mut ChaCha8Rng,
        tally: &mut Tally,
    ) -> io::Result<Recording> {
        base.write(self.dir)?;
        let (child, stderr) = self.order.traced().spawn(self.launcher)?;
        let calls = AtomicU64::new(0);
        let mut recorder = Recorder {
            dir: self.dir,
            channel: self.channel,
            rng,
            calls_max: self.calls_max.unwrap_or(u64::MAX),
            calls: &calls,
            last: base.clone(),
            states: vec![State {
                image: base.clone(),
                mark: Mark::default(),
                point: "before the first call".to_owned(),
            }],
            error: None,
        };
        let tracer = Tracer::new(child, self.dir)?.time_limit(self.hang_limit);
        let watch = Watch {
            channel: self.channel,
            calls: &calls,
            stopper: tracer.stopper(),
            life_max: self.calls_max.map(|_| LIFE_MAX),
        };
        let over = AtomicBool::new(false);
        let run = std::thread::scope(|scope| {
            scope.spawn(|| watch.until(&over));
            let run = tracer.run(&mut recorder);
            over.store(true, Ordering::Release);
            run
        })?;
        let Recorder {
            states,
            last,
            error,
            ..
        } = recorder;
        if let Some(error) = error {
            return Err(error);
        }
        tally.calls += run.calls;
        if run.end == End::Killed {
            // What the real kill left must be what was copied there.
            tally.calibrations += 1;
            if let Some(name) = Image::read(self.dir, &last)?.difference(&last) {
                tally.miscalibrated += 1;
                eprintln!("a real kill left another {} than the copy", name.display());
            }
        }
        let stderr = || printed(&stderr);
        let ended = |status| {
            let outcome = Outcome {
                killed: false,
                status,
                left_behind: run.left_behind,
                stderr: stderr(),
            };
            outcome.trouble()
        };
        let trouble = match run.end {
            End::Exited(code) => ended(exit_status(code << 8))?.map(Trouble::Stopped),
            End::Signaled(signal) => ended(exit_status(signal))?.map(Trouble::Stopped),
            End::TimedOut => {
                let seconds = self.hang_limit.as_secs_f32();
                Some(Trouble::Hangs(format!(
                    "no end after {seconds} s: {}",
                    stderr()
                )))
            }
            End::Stopped if self.channel.is_flooded() => {
                Some(Trouble::Stopped("it prints without end".to_owned()))
            }
            End::Killed | End::Stopped => None,
        };
        Ok(Recording { states, trouble })
    }
}

fn exit_status(raw: i32) -> std::process::ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(raw)
}

/// Listens while the program runs, so that it never waits for us, and ends what goes on too long.
struct Watch<'a> {
    channel: &'a Channel,
    calls: &'a AtomicU64,
    stopper: Stopper,
    life_max: Option<Duration>,
}

impl Watch<'_> {
    fn until(&self, over: &AtomicBool) {
        let started = Instant::now();
        while !over.load(Ordering::Acquire) {
            let Ok(spoke) = self.channel.has_lines(1) else {
                return self.stopper.stop();
            };
            let lived = self.life_max.is_some_and(|max| started.elapsed() > max);
            // One that has done nothing at all may still be starting.
            let worked = spoke || self.calls.load(Ordering::Relaxed) > 0;
            if self.channel.is_flooded() || lived && worked {
                self.stopper.stop();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Copies the directory at each stop.
struct Recorder<'a> {
    dir: &'a Path,
    channel: &'a Channel,
    rng: &'a mut ChaCha8Rng,
    calls_max: u64,
    calls: &'a AtomicU64,
    last: Image,
    states: Vec<State>,
    error: Option<io::Error>,
}

impl Recorder<'_> {
    /// States inside a write: the old file with a prefix of what was written.
    fn inside(&mut self, call: &Call, after: &Image, mark: Mark) {
        let Some((name, range)) = written_range(call, &self.last, after) else {
            return;
        };
        let Some(new) = after.file(&name) else {
            return;
        };
        let pages = (range.start / PAGE + 1..range.end.div_ceil(PAGE)).map(|page| page * PAGE);
        let mut cuts: Vec<usize> = pages.take(PAGE_CUTS_MAX).collect();
        if range.len() > 1 {
            cuts.push(self.rng.random_range(range.start + 1..range.end));
        }
        for cut in cuts {
            let mut bytes = self.last.file(&name).unwrap_or(&[]).to_vec();
            bytes.resize(bytes.len().max(cut), 0);
            bytes[range.start..cut].copy_from_slice(&new[range.start..cut]);
            self.states.push(State {
                image: self.last.with_file(&name, bytes),
                mark,
                point: format!("{} bytes into {call}", cut - range.start),
            });
        }
    }

    /// What was said first: a word that comes after the copy must not count for it.
    fn look(&mut self) -> io::Result<(Mark, Image)> {
        Ok((self.channel.hear()?, Image::read(self.dir, &self.last)?))
    }
}

impl Observer for Recorder<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        if let Err(error) = refuse_io_uring(call) {
            self.error = Some(error);
            return Decision::Kill;
        }
        match self.channel.hear() {
            // Nothing but traced calls changes the directory, and they come one at a time: it is as
            // it was after the last one.
            Ok(mark) => self.states.push(State {
                image: self.last.clone(),
                mark,
                point: format!("before {call}"),
            }),
            Err(error) => {
                self.error = Some(error);
                return Decision::Kill;
            }
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Decision::Continue
    }

    fn after(&mut self, call: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        let (mark, image) = match self.look() {
            Ok(seen) => seen,
            Err(error) => {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        };
        self.inside(call, &image, mark);
        self.last = image.clone();
        self.states.push(State {
            image,
            mark,
            point: format!("after {call}"),
        });
        if self.calls.load(Ordering::Relaxed) >= self.calls_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
