//! A child process as the layers above see it: it runs, it ends, and it has printed something.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::order::{EXIT_ENVIRONMENT, NOT_THE_STORE};
use crate::trace::{End, Run};

/// The last part of what a child printed, in bytes: a verdict quotes it.
const QUOTED_BYTES_MAX: u64 = 4096;

/// A process that the harness started, and whatever that starts. Dropping it kills them.
pub(crate) trait Process {
    /// The id of the process that all others descend from.
    fn id(&self) -> Pid;

    fn is_over(&mut self) -> io::Result<bool>;

    /// Waits for its end, but not for long.
    fn rest(&mut self, nap: Duration) -> io::Result<()> {
        std::thread::sleep(nap);
        Ok(())
    }

    /// Kills it, if it has not ended yet. Afterwards nothing of it is left.
    fn end(self: Box<Self>) -> io::Result<Ended>;
}

/// The id of a child.
pub(crate) fn process_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"))
}

/// How a process ended, and what it had printed.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The harness killed it.
    pub(crate) killed: bool,
    pub(crate) status: ExitStatus,
    /// Processes that it had started and left running. They were killed.
    pub(crate) left_behind: usize,
    /// The end of what it printed on standard error.
    pub(crate) output: String,
}

impl Ended {
    /// With status 0, by itself, and nothing of it left running.
    pub(crate) fn is_clean(&self) -> bool {
        !self.killed && self.status.success() && self.left_behind == 0
    }

    /// How a traced process ended.
    pub(crate) fn of_trace(run: &Run, output: &File) -> Self {
        let (killed, status) = match run.end {
            End::Exited(code) => (false, code << 8),
            End::Signaled(signal) => (false, signal),
            End::Killed | End::Stopped | End::TimedOut => (true, libc::SIGKILL),
        };
        Self {
            killed,
            status: ExitStatus::from_raw(status),
            left_behind: run.left_behind,
            output: printed(output),
        }
    }

    /// # Errors
    /// If it failed at the harness's part of its work, before or after the store's, or something
    /// other than the harness killed it: nothing that the store did.
    pub(crate) fn check_environment(&self) -> io::Result<()> {
        if self.killed {
            return Ok(());
        }
        if self.status.signal() == Some(Signal::SIGKILL as i32) {
            return Err(self.killed_from_outside());
        }
        if self.status.code() != Some(EXIT_ENVIRONMENT) {
            return Ok(());
        }
        match self.output.rsplit_once(NOT_THE_STORE) {
            Some((_, reason)) => Err(io::Error::other(reason.trim().to_owned())),
            None => Ok(()),
        }
    }

    /// A SIGKILL cannot be told from the kernel's when memory is short, so it says nothing of the
    /// store, also where the store has sent it to itself.
    pub(crate) fn killed_from_outside(&self) -> io::Error {
        io::Error::other(format!(
            "a process was killed by a SIGKILL that plugpull did not send, which says nothing about \
             the store: the kernel does so where memory is short (see `dmesg`; use fewer --jobs) or \
             a limit of CPU time is reached (`ulimit -t`) ({})",
            self.words()
        ))
    }

    /// The exit status, and what was printed.
    pub(crate) fn words(&self) -> String {
        format!("{}: {}", self.status, self.output)
    }
}

/// The last of what a child has printed to its file.
pub(crate) fn printed(mut stderr: &File) -> String {
    let mut bytes = Vec::new();
    let mut read = || -> io::Result<bool> {
        let len = stderr.metadata()?.len();
        let skipped = len.saturating_sub(QUOTED_BYTES_MAX);
        stderr.seek(SeekFrom::Start(skipped))?;
        stderr.take(QUOTED_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(skipped > 0)
    };
    match read() {
        Ok(skipped) => {
            let ellipsis = if skipped { ".. " } else { "" };
            format!("{ellipsis}{}", String::from_utf8_lossy(&bytes).trim())
        }
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str) -> Ended {
        Ended {
            killed: false,
            status: ExitStatus::from_raw(code << 8),
            left_behind: 0,
            output: output.to_owned(),
        }
    }

    #[test]
    fn a_kill_that_is_not_the_harness_s_says_nothing_of_the_store() {
        let by = |signal, killed| Ended {
            killed,
            status: ExitStatus::from_raw(signal),
            ..ended(0, "its last words")
        };
        let error = by(libc::SIGKILL, false).check_environment();
        let told = error.expect_err("from outside").to_string();
        assert!(
            told.contains("dmesg") && told.contains("its last words"),
            "{told}"
        );
        for (signal, killed) in [
            (libc::SIGKILL, true),
            (libc::SIGSEGV, false),
            (libc::SIGABRT, false),
        ] {
            let checked = by(signal, killed).check_environment();
            checked.expect("the harness's, or the store's own");
        }
    }

    #[test]
    fn what_the_harness_fails_at_is_told_from_what_the_store_fails_at() {
        let told = format!("the store's own words\n\n{NOT_THE_STORE}/proc/1/fd/7: gone\n");
        let error = ended(EXIT_ENVIRONMENT, &told).check_environment();
        assert_eq!(error.expect_err("ours").to_string(), "/proc/1/fd/7: gone");
        for (code, output) in [
            (EXIT_ENVIRONMENT, "a status that the store chose"),
            (1, told.as_str()),
            (0, ""),
        ] {
            let checked = ended(code, output).check_environment();
            checked.expect("the store's own");
        }
    }
}
