//! `mount`: a run on a simulated file system that is mounted.
//!
//! Whatever a program does to a file is a request of the kernel, but for two things: `sync` and `syncfs`,
//! and stores to a mapped file. For these the program stops under a tracer, at few calls.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha8Rng;

use super::contract::{Recorder, Run};
use super::followed::Followed;
use super::outcome::Outcome;
use super::supervised::Supervision;
use crate::history::Event;
use crate::injection::Injection;
use crate::mount::{self, Mounted, Shared};
use crate::process::HarnessTime;
use crate::scratch::remove_dir;
use crate::sim::Disk;
use crate::store::{Calls, Store};
use crate::tally::Tally;
use crate::trace::{Call, Decision, Durability, Kind, Observer, Scope};

/// Runs a store in one directory.
pub(crate) struct MountRecorder<'a> {
    pub(crate) dir: &'a Path,
}

/// A run on a mounted file system.
pub(crate) struct MountRun<'r> {
    pub(crate) store: &'r mut dyn Store,
    /// What the run finds.
    pub(crate) disk: Disk,
    pub(crate) run: Run<'r>,
    /// What was announced before it.
    pub(crate) known: Vec<Event>,
    /// The disk fails.
    pub(crate) injection: Option<Injection>,
    pub(crate) rng: &'r mut ChaCha8Rng,
    pub(crate) tally: &'r mut Tally,
}

impl Recorder for MountRecorder<'_> {
    type Run<'r> = MountRun<'r>;
    type Recording = Followed;

    fn record(&mut self, run: MountRun<'_>) -> io::Result<Followed> {
        let MountRun {
            store,
            mut disk,
            run,
            known,
            injection,
            rng,
            tally,
        } = run;
        remove_dir(self.dir)?;
        fs::create_dir_all(self.dir)?;
        let place = self.dir.parent().unwrap_or(self.dir);
        let site = mount::site(place)?;
        let assignment = match run {
            Run::Write(work) => store.writer(self.dir, work, rng)?,
            Run::Recover { close } => store.recovery(self.dir, close)?,
        };
        if let Some(owner) = store.owner() {
            disk.give_root_to(owner.user, owner.group);
        }
        let is_recovery = matches!(run, Run::Recover { .. });
        let heard_by = Arc::clone(&assignment.announcer);
        let mounted = Mounted::new(site.as_ref(), self.dir, disk, heard_by, injection)?;
        let shared = Arc::clone(mounted.shared());
        let (heard_before, silent) = (AtomicU64::new(0), AtomicU64::new(0));
        let look = |heard: u64| {
            let calls = shared.stops.load(Ordering::Relaxed) / 2;
            if heard_before.swap(heard, Ordering::Relaxed) != heard {
                shared.write_back()?;
            }
            if heard == 0 {
                silent.store(calls, Ordering::Relaxed);
            }
            let is_done = match assignment.until.calls {
                Calls::FromStart(max) => calls >= max,
                Calls::FromFirstWord(max) => {
                    heard > 0 && calls - silent.load(Ordering::Relaxed) >= max
                }
            };
            Ok(is_done || shared.is_full())
        };
        let supervision = Supervision {
            scope: Scope::Unasked,
            dir: self.dir,
            stops: Arc::clone(&shared.stops),
            harness: HarnessTime::new(),
            must_end: is_recovery,
            look: &look,
        };
        let mut unasked = Unasked::new(&shared);
        let (launcher, limit) = store.launching();
        let supervised = supervision.run(&assignment, (launcher, limit), &mut unasked);
        let stopped = launcher.check_stop();
        let failed = unasked.error.take();
        let (calls, is_full) = (shared.stops.load(Ordering::Relaxed) / 2, shared.is_full());
        drop(shared);
        // Why something is refused is known here; what failed by that comes after.
        let lived = mounted.end();
        stopped?;
        let lived = lived?;
        if let Some(error) = failed {
            return Err(error);
        }
        let supervised = supervised?;
        if is_recovery && is_full {
            // It was ended, so it has not failed.
            return Err(io::Error::other(
                "a recovery writes more than a recording can hold: give the store less to recover, or use `disk`",
            ));
        }
        tally.calls += calls;
        let has_met_fault = lived.faulted.is_some();
        let outcome = Outcome::of(store, &supervised.watched(), is_recovery, has_met_fault)?;
        Ok(Followed::mounted(lived, outcome, known))
    }
}

/// Sees what the mounted file system is not asked for.
pub(super) struct Unasked<'a> {
    shared: &'a Shared,
    pub(super) error: Option<io::Error>,
}

impl<'a> Unasked<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            error: None,
        }
    }

    fn see(&self, call: &Call) -> io::Result<()> {
        match (call.kind(), call.fd()) {
            (Kind::Map, Some(fd)) => {
                // By its descriptor: its name may be another one by now.
                let path = format!("/proc/{}/fd/{fd}", call.thread());
                match File::open(path) {
                    Ok(file) => self.shared.map(file),
                    // Its thread has been killed, or another one has closed it: nothing is mapped.
                    Err(error) if is_gone(&error) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            _ if call.syncs() == Some(Durability::FileSystem) => {
                self.shared.write_back()?;
                self.shared.sync_everything();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a descriptor of a thread is not there any more.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

impl Observer for Unasked<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        match self.see(call) {
            Ok(()) => Decision::Continue,
            Err(error) => {
                self.error = Some(error);
                Decision::Kill
            }
        }
    }

    fn after(&mut self, _: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
