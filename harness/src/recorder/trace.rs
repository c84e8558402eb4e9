//! `trace`: a run under ptrace, with a copy of the store's directory at every system call on it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::contract::{Recorder, Recording, Run};
use super::copier::{Copier, Step};
use super::outcome::Outcome;
use super::supervised::Supervision;
use crate::history::Event;
use crate::ignored::Ignored;
use crate::image::Image;
use crate::injection::Injection;
use crate::oracle::Violation;
use crate::process::Launcher;
use crate::reached::NextCall;
use crate::store::{Announced, Assignment, Calls, Span, Stop, Store, Watched};
use crate::survivor::Survivor;
use crate::tally::Tally;
use crate::trace::{Kind, Scope};

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
    /// The disk fails.
    pub(crate) injection: Option<Injection>,
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
    pub(super) announced: Announced,
    /// What a recovery showed.
    pub(crate) recovered: Option<Vec<Survivor>>,
    /// The directory when nothing of the run was left.
    pub(crate) end: Option<Image>,
    /// What the store did wrong by itself.
    pub(crate) failed: Option<Violation>,
    /// How the disk failed.
    pub(crate) injection: Option<Injection>,
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

    /// The next call to begin: a moment is before one, or behind it.
    fn next_call(&self, moment: usize) -> Option<NextCall> {
        let step = self.steps.get(moment / 2)?;
        let path = step.name.as_ref().or_else(|| step.call.paths().first());
        let path = path.and_then(|path| path.to_str());
        Some(NextCall {
            name: step.call.name(),
            path: path.map(str::to_owned),
            is_sync: step.call.kind() == Kind::Sync,
        })
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
            injection,
            rng,
            tally,
        } = run;
        base.write(self.dir)?;
        let assignment = match run {
            Run::Write(work) => store.writer(self.dir, work, rng)?,
            Run::Recover { close } => store.recovery(self.dir, close)?,
        };
        // What the run finds has got its owner by now: that is no change of the run's.
        let base = &match store.owner() {
            Some(_) => Image::read(self.dir, base)?,
            None => base.clone(),
        };
        let calls_max = calls_max.map_or(assignment.until.calls, Calls::FromStart);
        let must_end = matches!(run, Run::Recover { .. });
        let heard_by = Arc::clone(&assignment.announcer);
        let mut copier = Copier::new(self.dir, heard_by, assignment.ring_waits, base, calls_max)?;
        copier.injection = injection;
        let (launcher, limit) = store.launching();
        let (watched, copier) = trace(&assignment, launcher, limit, must_end, copier)?;
        tally.calls += copier.steps.len() as u64;
        let mut end = None;
        if watched.stop == Stop::Killed {
            // What the real kill left must be what was copied there.
            tally.calibrations += 1;
            let differs = copier.differs_from(self.ignored)?;
            if let [first, others @ ..] = &*differs {
                tally.miscalibrated += 1;
                eprintln!(
                    "a real kill left another {} than the copy, and {} more: the run does not count (if that \
                     is no file of data: --ignore)",
                    self.dir.join(first).display(),
                    others.len()
                );
            }
        } else {
            end = Some(copier.left()?);
        }
        let (steps, injection) = (copier.steps, copier.injection);
        let has_met_fault = injection.as_ref().is_some_and(|faults| faults.injected > 0);
        let outcome = Outcome::of(store, &watched, must_end, has_met_fault)?;
        Ok(Traced {
            base: base.clone(),
            steps,
            announced: outcome.announced,
            recovered: outcome.recovered,
            end,
            failed: outcome.failed,
            injection,
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
    let supervision = Supervision {
        scope: Scope::Everything,
        dir: copier.dir(),
        stops: Arc::clone(&copier.stops),
        harness: copier.harness.clone(),
        must_end,
        look: &|_| Ok(false),
    };
    let supervised = supervision.run(assignment, (launcher, limit), &mut copier)?;
    if let Some(error) = copier.error.take() {
        return Err(error);
    }
    launcher.check_stop()?;
    Ok((supervised.watched(), copier))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::process::{Obeyed, Order, Role, Roles};
    use crate::store::{Announcer, Mark, Until};

    const LIMIT: Duration = Duration::from_millis(500);
    /// Longer than the limit, and than all that is excused of a child that is held by its tracer.
    const SLOW: Duration = LIMIT.saturating_mul(8);

    /// Hears nothing, and the first time it takes long over it, while the child waits.
    struct Slow(AtomicBool);

    impl Announcer for Slow {
        fn mark(&self) -> io::Result<Mark> {
            if !self.0.swap(true, Ordering::Relaxed) {
                std::thread::sleep(SLOW);
            }
            Ok(Mark::Nothing)
        }

        fn heard(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn is_full(&self) -> bool {
            false
        }

        fn note(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    /// Traces a child that makes a file in a directory, and then ends or hangs.
    fn traced(role: &Role<(PathBuf, bool)>, hangs: bool) -> Stop {
        let make = |(dir, hangs): (PathBuf, bool), _| {
            std::fs::write(dir.join("file"), "bytes")?;
            if hangs {
                loop {
                    std::thread::park();
                }
            }
            Ok(Obeyed::Done)
        };
        Roles::default().with(role, make).obey();
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("it is there");
        let assignment = Assignment {
            order: Order::new(role, &(dir.clone(), hangs)).expect("the path is UTF-8"),
            announcer: Arc::new(Slow(AtomicBool::new(false))),
            until: Until::END,
            ring_waits: false,
        };
        let launcher = Launcher::of_this_test().expect("it has a name");
        let base = Image::default();
        let heard_by = Arc::clone(&assignment.announcer);
        let copier = Copier::new(&dir, heard_by, false, &base, Calls::FromStart(u64::MAX));
        let copier = copier.expect("it can be read");
        let traced = trace(&assignment, &launcher, LIMIT, true, copier);
        let (watched, copier) = traced.expect("this machine can trace");
        assert!(!copier.steps.is_empty(), "nothing was slow");
        watched.stop
    }

    #[test]
    fn the_time_of_a_slow_harness_is_not_the_childs() {
        const ROLE: Role<(PathBuf, bool)> = Role::new("ends after a slow look");
        assert_eq!(traced(&ROLE, false), Stop::Ended);
    }

    #[test]
    fn a_child_that_hangs_is_found_after_a_slow_look() {
        const ROLE: Role<(PathBuf, bool)> = Role::new("hangs after a slow look");
        let stop = traced(&ROLE, true);
        assert!(matches!(stop, Stop::Hangs(_)), "{stop:?}");
    }
}
