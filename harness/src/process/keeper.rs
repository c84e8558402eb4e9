//! The process between the harness and a command: it sees to it that nothing of the command stays.
//!
//! ```text
//! harness ── keeper (this binary again) ── sh -c 'exec COMMAND' ── whatever that starts
//! ```
//!
//! The keeper is a *subreaper*: whatever the command leaves behind, in its process group or in one
//! of its own, becomes the keeper's child, and is killed and waited for before the keeper ends. It
//! kills the command when its own standard input ends, so also when the harness dies.
//!
//! A traced command has no keeper: the tracer follows and kills all it starts.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, dup, getpid};
use serde::{Deserialize, Serialize};

use super::ending::{Ended, Process, printed, process_of};
use super::launcher::Launcher;
use super::order::{NOT_THE_STORE, Order, Role, VARIABLE, exit};
use super::procfs::{Stat, processes};

/// The time that processes which a command has started and not waited for have to end by themselves.
const GRACE: Duration = Duration::from_millis(100);

/// A command under a keeper, or alone if it is traced.
pub(crate) const COMMAND: Role<CommandTask> = Role::keeper("command");

/// A command as a shell takes it, and where its output goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CommandTask {
    pub(crate) command: String,
    /// A file that exists: the command's standard output.
    pub(crate) output: PathBuf,
    /// A file that exists: what the command writes to the descriptor in `PLUGPULL_FD`.
    pub(crate) descriptor: Option<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
}

impl CommandTask {
    fn shell(&self) -> io::Result<Command> {
        let mut command = Command::new("sh");
        // `exec`: the process that is killed is the program, not a shell that waits for it.
        command.arg("-c").arg(format!("exec {}", self.command));
        command.envs(self.environment.iter().cloned());
        command.env_remove(VARIABLE);
        command.stdin(open(File::options().read(true), Path::new("/dev/null"))?);
        command.stdout(open(File::options().write(true), &self.output)?);
        if let Some(path) = &self.descriptor {
            // Unlike the file, its duplicate stays open in the programs that this one becomes.
            let kept = dup(open(File::options().write(true), path)?)?;
            command.env("PLUGPULL_FD", kept.as_raw_fd().to_string());
            std::mem::forget(kept);
        }
        Ok(command)
    }
}

/// Opens a file. An error names it.
fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path).map_err(|error| {
        let reason = format!("cannot open {}: {error}", path.display());
        io::Error::new(error.kind(), reason)
    })
}

/// The shell could not be started.
fn no_shell(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot start `sh`: {error}"))
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ending {
    /// It was to be killed.
    ordered: bool,
    /// As `waitpid` has it.
    status: i32,
    /// Processes that it left behind.
    left_behind: usize,
}

/// A command with its keeper. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Kept {
    keeper: Child,
    stderr: File,
}

impl Kept {
    pub(super) fn start(launcher: &Launcher, order: &Order) -> io::Result<Self> {
        let (keeper, stderr) = launcher.spawn(order, Some(Stdio::piped()))?;
        Ok(Self { keeper, stderr })
    }
}

impl Process for Kept {
    fn id(&self) -> Pid {
        process_of(&self.keeper)
    }

    fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.keeper.try_wait()?.is_some())
    }

    fn end(mut self: Box<Self>) -> io::Result<Ended> {
        drop(self.keeper.stdin.take());
        let status = self.keeper.wait().map_err(|error| {
            let reason = format!(
                "cannot wait for a command's keeper (process {}): {error}",
                self.keeper.id()
            );
            io::Error::new(error.kind(), reason)
        })?;
        let mut said = String::new();
        let mut report = self.keeper.stdout.take().expect("it is piped");
        report.read_to_string(&mut said)?;
        let stderr = printed(&self.stderr);
        let ending = said
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok());
        let Some(ending) = ending else {
            let reason = match stderr.rsplit_once(NOT_THE_STORE) {
                Some((_, reason)) => reason.to_owned(),
                None => format!("the command's keeper ended ({status}): {stderr}"),
            };
            return Err(io::Error::other(reason));
        };
        let Ending {
            ordered,
            status,
            left_behind,
        } = ending;
        let status = ExitStatus::from_raw(status);
        Ok(Ended {
            killed: ordered && status.signal() == Some(Signal::SIGKILL as i32),
            status,
            left_behind,
            output: stderr,
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("cannot end process {}: {error}", self.keeper.id());
        }
    }
}

/// In a child: becomes the command if it is traced; else runs it, and ends what it leaves behind.
pub(crate) fn carry_out_command(task: &CommandTask, traced: bool) -> io::Result<()> {
    if traced {
        return Err(no_shell(&task.shell()?.exec()));
    }
    keep(task)
}

fn keep(task: &CommandTask) -> io::Result<()> {
    set_child_subreaper(true)?;
    let mut shell = task.shell()?;
    let spawned = shell.process_group(0).spawn();
    let mut child = spawned.map_err(|error| no_shell(&error))?;
    drop(shell);
    let group = process_of(&child);
    // Whether it may still be killed by its id, and whether it was.
    let (running, ordered) = (Mutex::new(true), Mutex::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut order = Vec::new();
            // An error is an end, too.
            drop(io::stdin().read_to_end(&mut order));
            let running = running.lock().expect("nothing panics with it");
            if *running {
                *ordered.lock().expect("nothing panics with it") = true;
                if let Err(error) = killpg(group, Signal::SIGKILL) {
                    eprintln!("cannot end process group {group}: {error}");
                }
            }
        });
        // Not reaped yet: its id stays its own until nothing kills by it any more.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(group), flags) == Err(Errno::EINTR) {}
        *running.lock().expect("nothing panics with it") = false;
        let ordered = *ordered.lock().expect("nothing panics with it");
        let status = child.wait().map_err(|error| {
            let reason = format!("cannot wait for the command (process {group}): {error}");
            io::Error::new(error.kind(), reason)
        })?;
        let status = status.into_raw();
        let left_behind = sweep(if ordered { Duration::ZERO } else { GRACE })?;
        let ending = Ending {
            ordered,
            status,
            left_behind,
        };
        let mut line = serde_json::to_vec(&ending)?;
        line.push(b'\n');
        let mut report = io::stdout();
        report.write_all(b"\n")?;
        report.write_all(&line)?;
        report.flush()?;
        // The listener still listens.
        exit(0)
    })
}

/// Kills and reaps all descendants; tells how many were alive after the grace.
fn sweep(grace: Duration) -> io::Result<usize> {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    let mut killed = BTreeSet::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(killed.len()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(WaitStatus::StillAlive) if waited < grace => {
                std::thread::sleep(step);
                waited += step;
            }
            Ok(WaitStatus::StillAlive) => {
                for child in children()? {
                    // It is our child and not reaped: the id is its own.
                    kill(child, Signal::SIGKILL)?;
                    killed.insert(child);
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok(_) => {}
        }
    }
}

/// This process's children that have not ended.
fn children() -> io::Result<Vec<Pid>> {
    let is_ours = |process: &Pid| {
        // It may have ended since.
        Stat::of(*process).is_some_and(|stat| stat.parent == getpid() && stat.is_alive())
    };
    Ok(processes()?.filter(is_ours).collect())
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    // In single quotes nothing is special but the quote itself.
    format!("'{}'", word.replace('\'', r"'\''"))
}
