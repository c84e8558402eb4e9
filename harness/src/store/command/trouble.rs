//! How a command may not end.

use std::io;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::process::Ended;

/// What the status of a shell adds to the signal that has ended its last program.
const SHELL_SAW_SIGNAL: i32 = 128;
/// The status of a shell whose last program was killed by SIGKILL.
const SHELL_SAW_SIGKILL: i32 = SHELL_SAW_SIGNAL + Signal::SIGKILL as i32;
/// What a program is ended by that has crashed.
const CRASHES: [Signal; 7] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// Whether a command, or the last program of its script, has crashed. To end with a status of its own is an
/// answer.
pub(super) fn has_crashed(ended: &Ended) -> bool {
    let by_shell = ended.status.code().map(|code| code - SHELL_SAW_SIGNAL);
    let signal = ended.status.signal().or(by_shell);
    !ended.killed && CRASHES.iter().any(|crash| Some(*crash as i32) == signal)
}

/// What is wrong with a command that ended like this, if anything is.
///
/// # Errors
/// If there was no command at all: the shell could not start it, or there was no shell. If it, or a
/// program that its script waited for, was killed by something other than the harness.
pub(super) fn trouble(ended: &Ended) -> io::Result<Option<String>> {
    ended.check_environment()?;
    let Ended {
        killed,
        status,
        left_behind,
        output,
    } = ended;
    if *killed {
        return Ok(None);
    }
    if status.code() == Some(SHELL_SAW_SIGKILL) {
        return Err(ended.killed_from_outside());
    }
    if matches!(status.code(), Some(126 | 127)) {
        return Err(io::Error::other(format!(
            "the shell could not start the command ({status}): {output}\nit is started with `exec`; \
             where that is not enough, make it one program: sh -c '..', env NAME=VALUE .."
        )));
    }
    Ok(if !status.success() {
        Some(ended.words())
    } else if *left_behind > 0 {
        Some(format!(
            "it ended and left {left_behind} of its processes running (they were killed)"
        ))
    } else {
        None
    })
}
