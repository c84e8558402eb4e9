//! The end of a run from outside of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::unistd::Pid;

use super::run::End;
use super::sys::PidFd;

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
    pub(super) fn of(process: Pid) -> io::Result<Self> {
        Ok(Self(Arc::new(Stop {
            process: PidFd::open(process)?,
            reason: AtomicU8::new(RUNNING),
        })))
    }

    /// Kills the child, and with it all it has started. It does not wait for that.
    pub fn stop(&self) {
        self.end(STOPPED);
    }

    pub(super) fn time_out(&self) {
        self.end(TIMED_OUT);
    }

    /// Why it ended the run, if it did.
    pub(super) fn reason(&self) -> Option<End> {
        match self.0.reason.load(Ordering::Acquire) {
            TIMED_OUT => Some(End::TimedOut),
            STOPPED => Some(End::Stopped),
            _ => None,
        }
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
