//! `syscall`: one run under trace, stopped at every system call that touches the store's directory; a copy of the directory
//! there is what a SIGKILL there leaves.
//!
//! One run yields the crash states before and after *every* call, without running the writer again. States inside
//! a write are made from the two around it: the old bytes with a prefix of the new ones, cut at page boundaries, where real
//! kills cut, and at a few offsets drawn from the seed. Recovery is a run like any other: it is traced, and each of its
//! states recovered.
//!
//! A sample of real kills keeps this honest: each run ends with one, and the directory it leaves must equal the copy.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::campaign::Plan;
use crate::checker::Checker;
use crate::child::{Role, Target, printed, spawn};
use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::history::{Event, History, Mark};
use crate::image::Image;
use crate::oracle::{Oracle, Violation};
use crate::scratch::remove_dir;
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;
use crate::trace::{Call, Decision, End, Kind, Observer, Tracer};
use crate::workload::Workload;

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: u32 = 6;
const EVENTS_MAX: usize = 1 << 14;
const PAGE: usize = 4096;
/// Cuts inside one write, at most, besides those drawn.
const PAGE_CUTS_MAX: usize = 8;
/// A traced run that does nothing for so long hangs.
const RUN_LIMIT: Duration = Duration::from_secs(30);

/// A moment at which the store could have died.
#[derive(Clone, Debug)]
struct State {
    image: Image,
    mark: Mark,
    /// For people: `before fdatasync(log)`.
    point: String,
}

/// What a traced run leaves.
struct Recording {
    states: Vec<State>,
    calls: u64,
    /// The run stopped by itself, and said so.
    stopped: Option<String>,
}

/// One directory's generations after another's, on one thread.
pub(crate) struct Lane<'a> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    target: Target,
    /// Where states are laid out to be recovered.
    state_dir: PathBuf,
    checker: Checker,
    rng: ChaCha8Rng,
    oracle: Box<dyn Oracle>,
    /// Of this directory's generations so far.
    workloads: Vec<Workload>,
    /// What the next generation starts from.
    base: Image,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        let target = Target {
            launcher: plan.launcher.clone(),
            subject: subject.name().to_owned(),
            engine: String::new(),
            dir: scratch.join(format!("{name}-traced")),
        };
        Self {
            subject,
            plan,
            state_dir: scratch.join(format!("{name}-state")),
            checker: Checker::new(target.clone()),
            target,
            rng,
            oracle: subject.oracle(),
            workloads: Vec::new(),
            base: Image::default(),
        }
    }

    /// One generation: a traced run, all its states, and a traced recovery of some of them.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        if self.workloads.len() >= GENERATIONS as usize {
            self.workloads.clear();
        }
        if self.workloads.is_empty() {
            let engines = self.plan.engines_of(self.subject);
            self.target.engine = engines[self.rng.random_range(0..engines.len())].into();
            self.checker = Checker::new(self.target.clone());
            self.oracle = self.subject.oracle();
            self.base = Image::default();
        }
        let generation = u32::try_from(self.workloads.len()).expect("a few generations");
        self.workloads
            .push(Workload::draw_small(&mut self.rng, generation));
        *tally.engines.entry(self.target.engine.clone()).or_default() += 1;

        let history = History::create(EVENTS_MAX)?;
        let workload = self.workloads.last().expect("one was just drawn").clone();
        let role = Role::Write {
            history: history.path().into(),
            workload,
        };
        let calls = self.rng.random_range(60..200);
        let base = self.base.clone();
        let recording = self.record(role, &base, Some(&history), calls, tally)?;
        tally.count_round(&history.events());
        tally.calls += recording.calls;
        if let Some(output) = recording.stopped {
            let violation = Violation::Broken {
                stage: "the writer stopped by itself".into(),
                detail: output,
            };
            let last = recording.states.last().cloned();
            return self.finding(last, &history, violation, tally).map(Some);
        }
        let mut seen = HashSet::new();
        let mut survivors_of: Vec<(usize, Vec<Survivor>)> = Vec::new();
        for (index, state) in recording.states.iter().enumerate() {
            let events = history.events_at(&state.mark);
            if !seen.insert(fingerprint(state, &events)) {
                continue;
            }
            match self.examine(&state.image, &events, tally)? {
                Ok(survivors) => survivors_of.push((index, survivors)),
                Err(violation) => {
                    return self
                        .finding(Some(state.clone()), &history, violation, tally)
                        .map(Some);
                }
            }
        }
        if let Some(finding) = self.trace_recovery(&recording.states, &history, &mut seen, tally)? {
            return Ok(Some(finding));
        }
        // The next generation goes on from one of these states.
        let (index, survivors) =
            survivors_of.swap_remove(self.rng.random_range(0..survivors_of.len()));
        let state = &recording.states[index];
        self.oracle
            .advance(&history.events_at(&state.mark), &survivors);
        self.base = state.image.clone();
        Ok(None)
    }

    /// Recovers a state and asks the oracle.
    fn examine(
        &mut self,
        image: &Image,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        tally.crash_states += 1;
        image.write(&self.state_dir)?;
        let close = self.rng.random_bool(0.1);
        let survivors = match self
            .checker
            .recover(&self.state_dir, &self.workloads, close)?
        {
            Ok(survivors) => survivors,
            Err(detail) => {
                return Ok(Err(Violation::Broken {
                    stage: "recovery failed".into(),
                    detail,
                }));
            }
        };
        tally.recovered += survivors.len() as u64;
        if let Err(violation) = self.oracle.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.05) {
            tally.second_recoveries += 1;
            match self
                .checker
                .recover(&self.state_dir, &self.workloads, false)?
            {
                Ok(again) if again == survivors => {}
                Ok(again) => {
                    let (first, second) = (survivors.len(), again.len());
                    let detail = format!("{first} entries first, {second} the second time");
                    return Ok(Err(Violation::NotIdempotent { detail }));
                }
                Err(detail) => {
                    let stage = "the second recovery failed".into();
                    return Ok(Err(Violation::Broken { stage, detail }));
                }
            }
        }
        Ok(Ok(survivors))
    }

    /// A crash in the middle of recovery: recovers a few of the states under trace, and each state of that.
    fn trace_recovery(
        &mut self,
        states: &[State],
        history: &History,
        seen: &mut HashSet<u64>,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        for _ in 0..2 {
            let state = &states[self.rng.random_range(0..states.len())];
            let events = history.events_at(&state.mark);
            let role = Role::Recover {
                output: "/dev/null".into(),
                workloads: self.workloads.clone(),
                close: self.rng.random_bool(0.5),
            };
            let recording = self.record(role, &state.image, None, u64::MAX, tally)?;
            tally.recoveries_traced += 1;
            tally.calls += recording.calls;
            if let Some(detail) = recording.stopped {
                let violation = Violation::Broken {
                    stage: "recovery failed".into(),
                    detail,
                };
                return self
                    .finding(Some(state.clone()), history, violation, tally)
                    .map(Some);
            }
            for inner in recording.states {
                let inner = State {
                    mark: state.mark.clone(),
                    point: format!("{}, then in recovery {}", state.point, inner.point),
                    ..inner
                };
                if !seen.insert(fingerprint(&inner, &events)) {
                    continue;
                }
                if let Err(violation) = self.examine(&inner.image, &events, tally)? {
                    return self
                        .finding(Some(inner), history, violation, tally)
                        .map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Runs a child under trace from an image, kills it after so many calls, and keeps the states it went through.
    fn record(
        &mut self,
        role: Role,
        base: &Image,
        history: Option<&History>,
        calls_max: u64,
        tally: &mut Tally,
    ) -> io::Result<Recording> {
        base.write(&self.target.dir)?;
        let watched = history.is_some();
        let (child, output) = spawn(&self.target, role, true)?;
        let mut recorder = Recorder {
            dir: &self.target.dir,
            history,
            rng: &mut self.rng,
            calls_max,
            calls: 0,
            last: base.clone(),
            states: Vec::new(),
            error: None,
        };
        let tracer = Tracer::new(child, &self.target.dir)?.time_limit(RUN_LIMIT);
        let run = tracer.run(&mut recorder)?;
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
                let left = Image::read(&self.target.dir, &last)?;
                if let Some(name) = left.difference(&last) {
                    tally.miscalibrated += 1;
                    eprintln!("a real kill left another {} than the copy", name.display());
                }
                None
            }
            // A recovery ends by itself; a writer must not.
            End::Exited(0) if !watched => None,
            End::Exited(status) => Some(format!("exit status {status}: {}", printed(&output))),
            End::Signaled(signal) => Some(format!("signal {signal}: {}", printed(&output))),
            End::TimedOut => Some(format!("no end after {} s", RUN_LIMIT.as_secs())),
            End::Stopped => None,
        };
        let calls = run.calls;
        Ok(Recording {
            states,
            calls,
            stopped,
        })
    }

    fn finding(
        &mut self,
        state: Option<State>,
        history: &History,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        tally.violations += 1;
        let (image, events, point) = match state {
            Some(state) => (
                state.image.clone(),
                history.events_at(&state.mark),
                state.point,
            ),
            None => (
                self.base.clone(),
                history.events(),
                "before its first call".to_owned(),
            ),
        };
        // The state's directory has been recovered since: lay the image out anew.
        remove_dir(&self.state_dir)?;
        fs::create_dir_all(&self.state_dir)?;
        image.write(&self.state_dir)?;
        Ok(Finding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject: self.target.subject.clone(),
            engine: self.target.engine.clone(),
            crash: CrashKind::Syscall,
            seed: self.plan.seed,
            crash_point: point,
            violation,
            oracle: self.oracle.save(),
            workloads: std::mem::take(&mut self.workloads),
            events,
            image: self.state_dir.clone(),
        })
    }
}

/// Two states with equal files and equal announcements are one.
fn fingerprint(state: &State, events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.image.fingerprint().hash(&mut hasher);
    events.len().hash(&mut hasher);
    state.mark.hash(&mut hasher);
    hasher.finish()
}

/// Copies the directory at each stop.
struct Recorder<'a> {
    dir: &'a Path,
    history: Option<&'a History>,
    rng: &'a mut ChaCha8Rng,
    calls_max: u64,
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
        for cut in cuts {
            let mut bytes = old.to_vec();
            bytes.resize(old.len().max(cut), 0);
            bytes[range.start..cut].copy_from_slice(&new[range.start..cut]);
            self.states.push(State {
                image: before.with_file(&name, bytes),
                mark: mark.clone(),
                point: format!("{} bytes into {call}", cut - range.start),
            });
        }
    }
}

/// Which bytes of which file a call wrote, if it is a write.
fn written_range(call: &Call, before: &Image, after: &Image) -> Option<(PathBuf, Range<usize>)> {
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
    let start = call
        .offset()
        .and_then(|at| usize::try_from(at).ok())
        .unwrap_or(same);
    let len = usize::try_from(call.length()?).ok()?;
    let end = start.checked_add(len)?.min(new.len());
    (start < end).then_some((name, start..end))
}

impl Observer for Recorder<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        let mark = self.mark();
        // Nothing but traced calls changes the directory, and they come one at a time: it is as it was after the last one.
        self.states.push(State {
            image: self.last.clone(),
            mark,
            point: format!("before {call}"),
        });
        self.calls += 1;
        Decision::Continue
    }

    fn after(&mut self, call: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        let mark = self.mark();
        let Some(image) = self.copy() else {
            return ControlFlow::Break(());
        };
        let before = std::mem::replace(&mut self.last, image.clone());
        self.inside(call, &before, &image, &mark);
        self.states.push(State {
            image,
            mark,
            point: format!("after {call}"),
        });
        if self.calls >= self.calls_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
