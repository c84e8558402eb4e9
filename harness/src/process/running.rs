//! A child process, and whatever it starts.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::ending::{Ended, Process, printed, process_of};
use super::launcher::Launcher;
use super::order::Order;
use super::patience::Patience;
use super::strays::end_group;

/// A running child. Dropping it kills it and its process group.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stderr: File,
    limit: Duration,
    ended: Option<(ExitStatus, bool)>,
}

impl Running {
    pub(crate) fn start(launcher: &Launcher, order: &Order, limit: Duration) -> io::Result<Self> {
        let (child, stderr) = launcher.spawn(order, None)?;
        Ok(Self {
            child,
            stderr,
            limit,
            ended: None,
        })
    }

    /// The child's standard input.
    pub(super) fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("it is piped and kept")
    }

    /// Looks whether it has ended, and whether it left processes of its group behind. None of them
    /// outlives the look.
    fn look(&mut self) -> io::Result<Option<(ExitStatus, bool)>> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            let left_behind = end_group(self.group(), self.limit)?;
            self.ended = Some((status, left_behind));
        }
        Ok(self.ended)
    }

    /// It leads a group of its own.
    fn group(&self) -> Pid {
        process_of(&self.child)
    }

    /// SIGKILL, wherever it is, and to whatever it has started.
    fn kill(&mut self) -> io::Result<Ended> {
        let (killed, (status, left_behind)) = if let Some(ended) = self.look()? {
            (false, ended)
        } else {
            // It is not reaped yet, so the group is still its own.
            let group = self.group();
            killpg(group, Signal::SIGKILL)?;
            let status = self.child.wait()?;
            end_group(group, self.limit)?;
            let killed = status.signal() == Some(Signal::SIGKILL as i32);
            (killed, *self.ended.insert((status, false)))
        };
        Ok(Ended {
            killed,
            status,
            left_behind: usize::from(left_behind),
            output: printed(&self.stderr),
        })
    }

    /// Waits for the end; `None` if the child does not end in time. It is killed then.
    pub(super) fn wait(&mut self) -> io::Result<Option<Ended>> {
        let mut patience = Patience::with_process(self.group(), self.limit);
        let mut nap = Duration::from_micros(100);
        while patience.look()?.is_none() {
            if self.is_over()? {
                return self.kill().map(Some);
            }
            std::thread::sleep(nap);
            nap = (nap * 5 / 4).min(Duration::from_millis(5));
        }
        self.kill()?;
        Ok(None)
    }
}

impl Process for Running {
    fn id(&self) -> Pid {
        self.group()
    }

    fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.look()?.is_some())
    }

    fn end(mut self: Box<Self>) -> io::Result<Ended> {
        self.kill()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing may be left running; if it is gone already, that is what we want.
        if let Err(error) = self.kill() {
            eprintln!("cannot end process {}: {error}", self.child.id());
        }
    }
}
