//! A child from its start to its end.

use std::io::{self, Write};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::unistd::Pid;

use super::observer::Observer;
use super::run::{End, Run};
use super::stopper::Stopper;
use super::tracees::{Seized, Tracees};

/// Traces a child. Whatever happens, nothing of the child is left running: neither after
/// [`run`](Self::run) nor when this is dropped, nor when the whole harness is killed.
#[derive(Debug)]
pub struct Tracer {
    child: Unreaped,
    dir: PathBuf,
    time_limit: Option<Duration>,
    wait_in_rings: bool,
    stopper: Stopper,
}

impl Tracer {
    /// Takes over a child that was started with [`Stdio::piped`](std::process::Stdio::piped) as its
    /// standard input and that calls [`enter_child`](super::enter_child). Its exit status is reported by the run.
    ///
    /// # Errors
    /// If the directory does not exist, or the system is out of descriptors. The child is killed.
    pub fn new(child: Child, dir: &Path) -> io::Result<Self> {
        let child = Unreaped(Some(child));
        let running = child.get();
        assert!(running.stdin.is_some(), "the child's stdin must be a pipe");
        let stopper = Stopper::of(pid_of(running))?;
        let dir = dir.canonicalize()?;
        Ok(Self {
            child,
            dir,
            time_limit: None,
            wait_in_rings: false,
            stopper,
        })
    }

    /// Ends the run after so long, with [`End::TimedOut`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Makes every `io_uring_enter` that hands over requests wait until as many have completed, and
    /// holds it at the gate like any other call: nothing is in flight when it has ended.
    ///
    /// For a child that has one request in flight at most, and takes note of its completion before
    /// it hands over the next; a completion that is still there would be taken for the new one. A
    /// request that waits for something else than the disk hangs it.
    #[must_use]
    pub fn wait_in_rings(mut self, wait: bool) -> Self {
        self.wait_in_rings = wait;
        self
    }

    /// Ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Attaches, lets the child begin, and stays until its end. The observer is called on a thread
    /// of its own.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if ptrace is not permitted here;
    /// [`io::ErrorKind::InvalidInput`] if a call cannot be shortened as the observer wants;
    /// otherwise what the kernel refused.
    pub fn run(mut self, observer: &mut (impl Observer + Send)) -> io::Result<Run> {
        let (limit, stopper) = (self.time_limit, self.stopper());
        // A thread of its own, because waiting for "any" child must not take the caller's others,
        // and the caller's thread watches the time.
        let mut run = thread::scope(|scope| {
            let (ending, ended) = mpsc::channel::<()>();
            let tracing = thread::Builder::new().name("plugpull-tracer".to_owned());
            let tracing = tracing.spawn_scoped(scope, || {
                let _ending = ending;
                self.trace(observer)
            })?;
            if let Some(limit) = limit
                && ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout)
            {
                stopper.time_out();
            }
            tracing
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })?;
        // Ended by whatever came first, as the child saw it.
        if run.end == End::Signaled(libc::SIGKILL) {
            run.end = stopper.reason().unwrap_or(run.end);
        }
        Ok(run)
    }

    fn trace(&mut self, observer: &mut impl Observer) -> io::Result<Run> {
        let process = pid_of(self.child.get());
        let tracees = match Tracees::seize(process, &self.dir, self.wait_in_rings, observer)? {
            Seized::Attached(tracees) => tracees,
            Seized::Gone => return self.child.wait(),
            Seized::Ended(end) => {
                // It was waited for.
                drop(self.child.0.take());
                return Ok(Run {
                    end,
                    calls: 0,
                    left_behind: 0,
                });
            }
        };
        // The tracees wait for it, and then its id may become another's.
        #[expect(
            clippy::zombie_processes,
            reason = "it is waited for with all the others"
        )]
        let child = self.child.0.take().expect("it was there before");
        // If it is gone already, the first wait says so.
        match child.stdin.expect("checked in new").write_all(b"g") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => tracees.run(),
        }
    }
}

/// A child that was not waited for. Dropping it ends it.
#[derive(Debug)]
struct Unreaped(Option<Child>);

impl Unreaped {
    fn get(&self) -> &Child {
        self.0.as_ref().expect("it is taken only to be traced")
    }

    /// Of a child that has ended before it was traced.
    fn wait(&mut self) -> io::Result<Run> {
        let mut child = self.0.take().expect("it is taken only to be traced");
        Ok(Run {
            end: End::of(child.wait()?),
            calls: 0,
            left_behind: 0,
        })
    }
}

impl Drop for Unreaped {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0
            && let Err(error) = child.kill().and_then(|()| child.wait())
        {
            eprintln!("cannot end process {}: {error}", child.id());
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"))
}
