//! A command under a keeper.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::ending::{Ended, Process, printed};
use super::keeper::{Answer, CommandTask, Ending};
use super::launcher::Launcher;
use super::line::Line;

/// A command with its keeper. Dropping it kills both.
#[derive(Debug)]
pub(super) struct Kept {
    line: Line,
    stderr: File,
    ending: Option<Ending>,
    /// Takes the keeper back.
    launcher: Launcher,
}

impl Kept {
    pub(super) fn start(launcher: &Launcher, task: CommandTask) -> io::Result<Self> {
        let mut line = launcher.keeper()?;
        let stderr = line.run(task)?;
        Ok(Self {
            line,
            stderr,
            ending: None,
            launcher: launcher.clone(),
        })
    }

    fn look(&mut self, timeout: Option<Duration>) -> io::Result<Option<Ending>> {
        if self.ending.is_none() {
            self.ending = match self.line.answer(timeout)? {
                Some(Answer::Ended(ending)) => Some(ending),
                Some(Answer::NotStarted(reason)) => return Err(io::Error::other(reason)),
                None => None,
            };
        }
        Ok(self.ending)
    }
}

impl Process for Kept {
    fn id(&self) -> Pid {
        self.line.id()
    }

    fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.look(Some(Duration::ZERO))?.is_some())
    }

    fn rest(&mut self, nap: Duration) -> io::Result<()> {
        self.look(Some(nap))?;
        Ok(())
    }

    fn end(mut self: Box<Self>) -> io::Result<Ended> {
        if !self.is_over()? {
            self.line.kill()?;
        }
        let ending = loop {
            if let Some(ending) = self.look(None)? {
                break ending;
            }
        };
        let Ending {
            ordered,
            status,
            left_behind,
        } = ending;
        let status = ExitStatus::from_raw(status);
        let ended = Ended {
            killed: ordered && status.signal() == Some(Signal::SIGKILL as i32),
            status,
            left_behind,
            output: printed(&self.stderr),
        };
        self.launcher.take_back(self.line);
        Ok(ended)
    }
}
