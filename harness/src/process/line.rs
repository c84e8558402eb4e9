//! The harness's end of a keeper.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Child;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::ending::{printed, process_of};
use super::keeper::{Answer, Ask, CommandTask};
use super::order::NOT_THE_STORE;
use crate::memory_file::memory_file;

/// A keeper, and what it has answered. Dropping it ends it, and the command that it runs.
#[derive(Debug)]
pub(super) struct Line {
    keeper: Child,
    /// What the keeper itself prints.
    stderr: File,
    /// Bytes of its standard output that are no whole line yet.
    heard: Vec<u8>,
}

impl Line {
    /// To a keeper that was started with this as its standard error.
    pub(super) fn new(keeper: Child, stderr: File) -> Self {
        Self {
            keeper,
            stderr,
            heard: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> Pid {
        process_of(&self.keeper)
    }

    /// Has a command run. Its standard error goes to the file that is returned.
    pub(super) fn run(&mut self, task: CommandTask) -> io::Result<File> {
        let stderr = memory_file("plugpull-stderr")?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), stderr.as_raw_fd());
        self.ask(&Ask::Run {
            task,
            stderr: path.into(),
        })?;
        Ok(stderr)
    }

    /// Has the command killed that runs.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.ask(&Ask::Kill)
    }

    fn ask(&mut self, ask: &Ask) -> io::Result<()> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        let stdin = self.keeper.stdin.as_mut().expect("it is piped and kept");
        let written = stdin.write_all(&line);
        // It is gone: why is known better than that the pipe is broken.
        written.map_err(|_| self.gone())
    }

    /// The answer, if it comes within `timeout`; without one, this waits for it.
    ///
    /// # Errors
    /// If the keeper is gone.
    pub(super) fn answer(&mut self, timeout: Option<Duration>) -> io::Result<Option<Answer>> {
        let stdout = self.keeper.stdout.as_mut().expect("it is piped and kept");
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, timeout.map(TimeSpec::from), None) {
            Ok(0) | Err(nix::Error::EINTR) => return Ok(None),
            ready => ready?,
        };
        let mut part = [0; 4096];
        let read = stdout.read(&mut part)?;
        if read == 0 {
            return Err(self.gone());
        }
        self.heard.extend(&part[..read]);
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            // What else there is, a test harness has printed.
            if let Ok(answer) = serde_json::from_slice(&line) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Why the keeper is gone.
    fn gone(&mut self) -> io::Error {
        drop(self.keeper.stdin.take());
        let status = match self.keeper.wait() {
            Ok(status) => status,
            Err(error) => return error,
        };
        let stderr = printed(&self.stderr);
        io::Error::other(match stderr.rsplit_once(NOT_THE_STORE) {
            Some((_, reason)) => reason.to_owned(),
            None => format!("the keeper of commands ended ({status}): {stderr}"),
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("cannot end process {}: {error}", self.keeper.id());
        }
    }
}
