//! What can be done to a task, and what `/proc` says of it. It can be killed at any moment.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::sys::{Resume, resume};

/// How `/proc` shows a zombie, and one that is about to vanish.
const ENDED: [char; 2] = ['Z', 'X'];

pub(super) fn go_on(task: Pid, how: Resume) -> io::Result<()> {
    alive(resume(task, how), "resume", task).map(drop)
}

/// A task can be killed at any moment, also while it is stopped. Its end will be reported.
pub(super) fn alive<T>(result: Result<T, Errno>, what: &str, task: Pid) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ESRCH) => Ok(None),
        Err(error) => Err(cannot(what, task, error)),
    }
}

pub(super) fn cannot(what: &str, task: Pid, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(
        error.kind(),
        format!("cannot {what} process {task}: {error}"),
    )
}

pub(super) fn kill_if_alive(task: Pid) -> io::Result<()> {
    match kill(task, Signal::SIGKILL) {
        Err(Errno::ESRCH) | Ok(()) => Ok(()),
        Err(error) => Err(cannot("kill", task, error)),
    }
}

/// Whether only its exit status is left.
pub(super) fn has_ended(task: Pid) -> bool {
    status_field(task, "State:").is_none_or(|state| is_end(&state))
}

pub(super) fn tracer_of(task: Pid) -> Option<Pid> {
    let tracer = status_field(task, "TracerPid:")?.parse().ok()?;
    Some(Pid::from_raw(tracer))
}

pub(super) fn status_field(task: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{task}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// Whether a state, as `/proc` shows it, is that of a task that has ended.
pub(super) fn is_end(state: &str) -> bool {
    state.starts_with(ENDED)
}
