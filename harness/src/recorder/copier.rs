//! What the tracer shows, as the steps of a recording.

use std::collections::BTreeSet;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::elsewhere::{Arrival, Elsewhere};
use super::faults;
use crate::ignored::Ignored;
use crate::image::{Image, Mirror};
use crate::injection::{Effect, Injected, Injection};
use crate::process::HarnessTime;
use crate::store::{Announcer, Calls, Span};
use crate::trace::{Call, Decision, Durability, Kind, Observer};
use crate::tree::Identity;

/// A system call on the directory.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) call: Call,
    pub(crate) before: Look,
    /// None if the run was killed in it.
    pub(crate) after: Option<Look>,
    /// It has ended, and not with an error.
    pub(crate) succeeded: bool,
    /// A name of the file that it works on through a descriptor, whatever the file was called when it was
    /// opened.
    pub(crate) name: Option<PathBuf>,
    /// The directory when it was last looked at before the call ended.
    pub(crate) base: Image,
    /// What it wrote, if it is a write to a file of the directory and that is known.
    pub(crate) written: Option<Written>,
    /// What it brought into the directory from elsewhere.
    pub(crate) arrival: Option<Arrival>,
    /// The fault that it met.
    pub(crate) fault: Option<Injected>,
}

/// What a write has written.
#[derive(Debug)]
pub(crate) struct Written {
    /// A name of the file.
    pub(crate) file: PathBuf,
    pub(crate) range: Range<u64>,
}

/// A look at the directory while no call on it is in flight.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) image: Image,
    /// What was announced around it.
    pub(crate) span: Span,
}

/// Keeps an image of the directory, and notes it at each stop.
pub(super) struct Copier<'a> {
    dir: &'a Path,
    announcer: Arc<dyn Announcer>,
    /// What the store hands to `io_uring` is done when the call returns.
    ring_waits: bool,
    calls_max: Calls,
    /// The number of calls before the first announcement, once there is one.
    silent_calls: Option<u64>,
    /// How often it was called: a sign of life.
    pub(super) stops: Arc<AtomicU64>,
    /// What is spent here, the store waits for.
    pub(super) harness: HarnessTime,
    pub(super) mirror: Mirror,
    /// Files whose bytes change without a call that can be held: they are mapped, or spliced to.
    unseen: BTreeSet<Identity>,
    elsewhere: Elsewhere,
    /// The disk fails.
    pub(super) injection: Option<Injection>,
    pub(super) steps: Vec<Step>,
    pub(super) error: Option<io::Error>,
}

impl<'a> Copier<'a> {
    /// Of a directory that holds `base`.
    pub(super) fn new(
        dir: &'a Path,
        announcer: Arc<dyn Announcer>,
        ring_waits: bool,
        base: &Image,
        calls_max: Calls,
    ) -> io::Result<Self> {
        Ok(Self {
            dir,
            announcer,
            ring_waits,
            calls_max,
            silent_calls: None,
            stops: Arc::default(),
            harness: HarnessTime::new(),
            mirror: Mirror::new(dir, base)?,
            unseen: BTreeSet::new(),
            elsewhere: Elsewhere::default(),
            injection: None,
            steps: Vec::new(),
            error: None,
        })
    }

    pub(super) fn dir(&self) -> &'a Path {
        self.dir
    }

    /// What is in the directory when nothing of the run is left.
    pub(super) fn left(&self) -> io::Result<Image> {
        Image::read(self.dir, &self.mirror.image())
    }

    /// Where the directory differs from the last look, when nothing of the run is left. What changes
    /// without a call may have changed since.
    pub(super) fn differs_from(&self, ignored: &[Ignored]) -> io::Result<Vec<PathBuf>> {
        let mut names = self.left()?.differences(&self.mirror.image());
        let unseen = |name: &PathBuf| {
            let mut files = self.unseen.iter();
            files.any(|file| self.mirror.has_name(*file, name))
        };
        let is_ignored = |name: &PathBuf| ignored.iter().any(|ignored| ignored.contains(name));
        names.retain(|name| !is_ignored(name) && !unseen(name));
        Ok(names)
    }

    /// Whether the run has made as many calls as it was to make.
    fn is_done(&mut self) -> io::Result<bool> {
        let calls = self.steps.len() as u64;
        let max = match self.calls_max {
            Calls::FromStart(max) => return Ok(calls >= max),
            Calls::FromFirstWord(max) => max,
        };
        if self.silent_calls.is_none() && self.announcer.heard()? > 0 {
            self.silent_calls = Some(calls);
        }
        Ok(self
            .silent_calls
            .is_some_and(|silent| calls - silent >= max))
    }

    fn count(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at what changes without a call. What was claimed before must be in it; what is in it must
    /// have been attempted by its end.
    fn look(&mut self) -> io::Result<Look> {
        let claims = self.announcer.mark()?;
        let attempts = if self.unseen.is_empty() {
            // Nothing but the call that was stopped changes the directory.
            claims.clone()
        } else {
            self.mirror.settle(&self.unseen)?;
            self.announcer.mark()?
        };
        Ok(Look {
            image: self.mirror.image(),
            span: Span { claims, attempts },
        })
    }

    fn begin(&mut self, call: &Call) -> io::Result<()> {
        self.refuse(call)?;
        if call.overlaps_others() {
            self.unseen.extend(call.file());
        }
        let before = self.look()?;
        self.steps.push(Step {
            call: call.clone(),
            base: before.image.clone(),
            before,
            after: None,
            succeeded: false,
            name: call.file().and_then(|file| self.mirror.name(file)),
            written: None,
            arrival: None,
            fault: None,
        });
        Ok(())
    }

    /// What the call that has just begun comes to: the disk may fail.
    fn fate(&mut self, call: &Call) -> io::Result<Decision> {
        let Some(injection) = &mut self.injection else {
            return Ok(Decision::Continue);
        };
        let has_spoken = self.announcer.heard()? > 0;
        let met = faults::meet(injection, call, self.dir, has_spoken);
        let decision = match met.as_ref().map(|met| met.effect) {
            None => Decision::Continue,
            Some(Effect::Error(errno)) => Decision::Answer(errno),
            Some(Effect::Short(bytes)) => Decision::Shorten(bytes),
        };
        if let Some(step) = self.steps.last_mut() {
            step.fault = met;
        }
        Ok(decision)
    }

    /// Calls that are never held back may overlap: the end belongs to the call of the same thread.
    fn end(&mut self, call: &Call, result: &io::Result<u64>) -> io::Result<()> {
        let base = self.mirror.image();
        // Read before the directory, and what changes without a call is looked at once more below.
        let claims = self.announcer.mark()?;
        self.follow(call, result)?;
        if call.kind() == Kind::Map && result.is_ok() {
            self.unseen.extend(call.file());
        }
        let arrival = match result {
            Ok(_) => {
                self.elsewhere.done(call, &self.mirror);
                self.elsewhere.arrival(call, &base, &self.mirror)
            }
            Err(_) => None,
        };
        let mut after = self.look()?;
        after.span.claims = claims;
        let written = self.file_of_write(call).zip(written(call, result));
        let written = written.map(|(file, range)| Written { file, range });
        let is_it = |step: &&mut Step| step.after.is_none() && step.call.thread() == call.thread();
        let step = self.steps.iter_mut().rev().find(is_it);
        let step =
            step.ok_or_else(|| io::Error::other(format!("{call} ends without a beginning")))?;
        step.base = base;
        step.after = Some(after);
        step.succeeded = result.is_ok();
        step.written = written;
        step.arrival = arrival;
        Ok(())
    }

    /// A name of the file that a write changes, if it does so alone. The call knows the name by which the
    /// file was opened. That one may be gone, and may be another file's by now.
    fn file_of_write(&self, call: &Call) -> Option<PathBuf> {
        let file = call.file().filter(|_| call.kind() == Kind::Write)?;
        if self.unseen.contains(&file) {
            return None;
        }
        self.mirror.name(file)
    }

    /// Brings the image to what a call has made of the directory.
    fn follow(&mut self, call: &Call, result: &io::Result<u64>) -> io::Result<()> {
        match (call.kind(), call.file()) {
            (Kind::Sync | Kind::Map, _) => Ok(()),
            (Kind::Write | Kind::Copy, Some(file)) => match (written(call, result), result) {
                (Some(range), _) => self.mirror.written(file, range),
                (None, Ok(0)) if call.kind() == Kind::Write => Ok(()),
                _ => self.mirror.changed(file),
            },
            (Kind::Resize | Kind::Allocate, Some(file)) => self.mirror.changed(file),
            (Kind::IoUring | Kind::AsyncIo, _) => self.mirror.read_all(),
            _ => self.mirror.look_around(),
        }
    }

    /// Requests that are carried out while every thread is stopped: a copy would show states that no crash
    /// leaves.
    fn refuse(&self, call: &Call) -> io::Result<()> {
        let way = match call.kind() {
            Kind::AsyncIo => "io_submit",
            Kind::IoUring if call.length().is_none() => {
                "an io_uring that a thread of the kernel polls (IORING_SETUP_SQPOLL)"
            }
            Kind::IoUring if !self.ring_waits && call.length() > Some(0) => "io_uring",
            _ => return Ok(()),
        };
        let names: Vec<String> = call
            .paths()
            .iter()
            .map(|name| name.display().to_string())
            .collect();
        let names = if names.is_empty() {
            "files".to_owned()
        } else {
            names.join(", ")
        };
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "the store writes {names} through {way}, whose requests go on while all threads are \
                 stopped: its states cannot be copied under trace, use `kill` or `disk`"
            ),
        ))
    }
}

/// The bytes that a call wrote, if that is known.
fn written(call: &Call, result: &io::Result<u64>) -> Option<Range<u64>> {
    let bytes = result.as_ref().ok().filter(|bytes| **bytes > 0)?;
    let start = call.offset()?;
    Some(start..start.checked_add(*bytes)?)
}

impl Observer for Copier<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        self.count();
        if self.error.is_some() {
            return Decision::Kill;
        }
        let begun = self.harness.clone().spend(|| {
            self.begin(call)?;
            self.fate(call)
        });
        match begun {
            Ok(decision) => decision,
            Err(error) => {
                self.error = Some(error);
                Decision::Kill
            }
        }
    }

    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()> {
        self.count();
        let ended = self.harness.clone().spend(|| self.end(call, &result));
        let done = ended.and_then(|()| self.is_done());
        match done {
            Ok(false) => ControlFlow::Continue(()),
            Ok(true) => ControlFlow::Break(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn holds(&mut self, kind: Kind, file: Identity, syncs: Option<Durability>) -> bool {
        if kind == Kind::Map {
            self.unseen.insert(file);
        }
        let is_here = self.mirror.name(file).is_some();
        if !is_here {
            self.elsewhere.begun(kind, file, syncs);
        }
        is_here
    }

    /// What it has done is not known.
    fn broken_off(&mut self, _: &Call) {
        if let Err(error) = self.mirror.read_all() {
            self.error.get_or_insert(error);
        }
    }
}
