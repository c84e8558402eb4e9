//! Stops a program at every system call that touches a directory.
//!
//! A stop before or after such a call is a point where the program can crash, and a copy of the
//! directory taken there is what a SIGKILL there leaves: the page cache survives the process, all
//! calls before are done and none after has begun. So one run yields the crash states of *all*
//! points, without running the program again. A kill inside a write can be had as well, exactly.
//!
//! The child has to cooperate: it is started with a pipe as its standard input and calls
//! [`enter_child`] before its work, or before `exec` of a program that knows nothing of this, in
//! any language. Threads, children and programs it becomes are followed.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::process::{Command, Stdio};
//! use plugpull::trace::{Call, Decision, Observer, Tracer};
//!
//! struct Print;
//!
//! impl Observer for Print {
//!     fn before(&mut self, call: &Call) -> Decision {
//!         println!("{call}"); // and copy the directory
//!         Decision::Continue
//!     }
//!     fn after(&mut self, _: &Call, result: std::io::Result<u64>) -> ControlFlow<()> {
//!         println!("  = {result:?}");
//!         ControlFlow::Continue(())
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! // A program that calls `plugpull::trace::enter_child()`, then works in /tmp/store.
//! let child = Command::new("./writer").stdin(Stdio::piped()).spawn()?;
//! let run = Tracer::new(child, "/tmp/store".as_ref())?.run(&mut Print)?;
//! println!("{:?}", run.end);
//! # Ok(()) }
//! ```
//!
//! # What it does not see
//! Stores to a shared mapping: they are not calls (`msync` is). What `io_uring` and `io_submit` do
//! in the background: see [`Kind::IoUring`]. Changes of modes, times and attributes. A process
//! that is started with `CLONE_UNTRACED`.
//!
//! Linux 4.8 or newer on `x86_64` and `aarch64`, where ptrace of one's own children is permitted.

mod call;
mod filter;
mod gate;
mod resolve;
mod sys;
mod table;
mod tracees;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::unistd::Pid;

pub use call::{Call, Kind};
pub use filter::enter_child;

use sys::PidFd;
use tracees::Tracees;

/// What is told of every call that touches the directory.
///
/// Of all threads and processes of the child, at most one is inside such a call at a time: the
/// others are held at its beginning, in order of arrival. So nothing in the directory changes while
/// a method runs, nor between the end of one call and the beginning of the next. The exceptions may
/// have to wait for another thread: [`Kind::IoUring`], and `splice` from a pipe. The child's other threads run on, up to their next such call: what they
/// share with the harness may change, so read it before the directory.
///
/// If a method panics, the child is killed and [`Tracer::run`] panics.
pub trait Observer {
    /// A call is about to begin.
    fn before(&mut self, call: &Call) -> Decision;

    /// A call has ended; `Break` kills the child here, before it can learn of that. A call that a
    /// signal interrupted ends with an error (number 512 to 516 if the kernel will restart it,
    /// which is a new call).
    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()>;
}

/// What happens to the call, and to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call is carried out.
    Continue,
    /// The child is killed before it.
    Kill,
    /// Only so many bytes are written, then the child is killed: a crash inside a write. `after` is
    /// told what came of it (a file that is open with `O_DIRECT` takes whole blocks only), and the
    /// run ends whatever it answers.
    ///
    /// The run fails if [`Call::can_shorten`] is false or the call is not that long.
    ShortenThenKill(u64),
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The child exited by itself, with this status.
    Exited(i32),
    /// This signal killed the child, and it did not come from us.
    Signaled(i32),
    /// The observer wanted it.
    Killed,
    /// The time limit was over.
    TimedOut,
    /// A [`Stopper`] was used.
    Stopped,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(status), _) => Self::Exited(status),
            (None, signal) => Self::Signaled(signal.expect("it ended in one of two ways")),
        }
    }
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Why it ended.
    pub end: End,
    /// How many calls were reported.
    pub calls: u64,
    /// How many processes the child left behind when it ended by itself. They were killed.
    pub left_behind: usize,
}

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
    /// standard input and that calls [`enter_child`]. Its exit status is reported by the run.
    ///
    /// # Errors
    /// If the directory does not exist, or the system is out of descriptors. The child is killed.
    pub fn new(child: Child, dir: &Path) -> io::Result<Self> {
        let child = Unreaped(Some(child));
        let running = child.get();
        assert!(running.stdin.is_some(), "the child's stdin must be a pipe");
        let stopper = Stopper(Arc::new(Stop {
            process: PidFd::open(pid_of(running))?,
            reason: AtomicU8::new(RUNNING),
        }));
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
                stopper.end(TIMED_OUT);
            }
            tracing
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })?;
        // Ended by whatever came first, as the child saw it.
        if run.end == End::Signaled(nix::libc::SIGKILL) {
            run.end = match stopper.0.reason.load(Ordering::Acquire) {
                TIMED_OUT => End::TimedOut,
                STOPPED => End::Stopped,
                _ => run.end,
            };
        }
        Ok(run)
    }

    fn trace(&mut self, observer: &mut impl Observer) -> io::Result<Run> {
        let process = pid_of(self.child.get());
        let Some(tracees) = Tracees::seize(process, &self.dir, self.wait_in_rings, observer)?
        else {
            return self.child.wait();
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

/// A child that nobody has waited for. Dropping it ends it.
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

/// Ends a run, from any thread and at any time; [`End::Stopped`].
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Stop>);

#[derive(Debug)]
struct Stop {
    process: PidFd,
    reason: AtomicU8,
}

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const TIMED_OUT: u8 = 2;

impl Stopper {
    /// Kills the child, and with it all it has started. It does not wait for that.
    pub fn stop(&self) {
        self.end(STOPPED);
    }

    fn end(&self, reason: u8) {
        let (order, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let stop = &self.0;
        // The first reason counts, and the child must find it in place when it dies.
        let first = stop
            .reason
            .compare_exchange(RUNNING, reason, order, failure);
        if first.is_ok() {
            stop.process.kill();
        }
    }
}
