//! Runs a process under a tracer, and watches it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::watch::{Look, Watch};
use crate::process::{Ended, HarnessTime, Launcher, Patience, process_of};
use crate::store::{Assignment, Stop, Watched};
use crate::trace::{End, Observer, Run, Scope, Tracer};

/// How a process is run.
pub(super) struct Supervision<'s> {
    /// The calls that it stops at.
    pub(super) scope: Scope,
    pub(super) dir: &'s Path,
    /// Counts the stops of the run, two a call: a sign of life.
    pub(super) stops: Arc<AtomicU64>,
    /// What the process has waited for the harness.
    pub(super) harness: HarnessTime,
    /// It has to end by itself within the limit.
    pub(super) must_end: bool,
    /// What else is looked at now and then.
    pub(super) look: Look<'s>,
}

/// A process that is over.
pub(super) struct Supervised {
    run: Run,
    stopped: Option<Stop>,
    output: File,
    lasted: Duration,
}

impl Supervision<'_> {
    /// Runs a process to its end, or until it is to be ended.
    pub(super) fn run(
        self,
        assignment: &Assignment,
        (launcher, limit): (&Launcher, Duration),
        observer: &mut (impl Observer + Send),
    ) -> io::Result<Supervised> {
        let (child, output) = launcher.spawn_traced(&assignment.order, self.scope)?;
        let patience = || Patience::with_process(process_of(&child), limit).without(&self.harness);
        let patience = [patience(), patience()];
        let tracer = Tracer::new(child, self.dir)?.wait_in_rings(assignment.ring_waits);
        let watch = Watch::new(
            assignment,
            &self.stops,
            &tracer,
            patience,
            self.must_end,
            self.look,
        );
        let started = Instant::now();
        let (run, stopped) = watch.over(launcher, || tracer.run(observer))?;
        Ok(Supervised {
            run,
            stopped,
            output,
            lasted: started.elapsed(),
        })
    }
}

impl Supervised {
    pub(super) fn watched(self) -> Watched {
        let stop = match (self.run.end, self.stopped) {
            (End::Killed, _) => Stop::Killed,
            (End::Stopped | End::TimedOut, Some(stop)) => stop,
            _ => Stop::Ended,
        };
        Watched {
            ended: Ended::of_trace(&self.run, &self.output),
            stop,
            first_word: None,
            lasted: self.lasted,
        }
    }
}
