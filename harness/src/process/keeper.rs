//! The process between the harness and commands: it sees to it that nothing of a command stays.
//!
//! ```text
//! harness ── keeper (this binary again) ── sh -c 'exec COMMAND' ── whatever that starts
//! ```
//!
//! The keeper is a *subreaper*: whatever a command leaves behind, in its process group or in one
//! of its own, becomes the keeper's child, and is killed and waited for before the next command is
//! started. It runs one command after the other, so that a command costs no start of this binary. It
//! ends when its standard input ends, so also when the harness dies, and kills what runs then.
//!
//! ```text
//! harness                                   keeper
//!   {"Run": {..}}                -- stdin ->
//!   "Kill", if it is to end now  -- stdin ->
//!                               <- stdout -  how it ended
//! ```
//!
//! A traced command has no keeper: the tracer follows and kills all it starts.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, dup, getpid};
use serde::{Deserialize, Serialize};

use super::ending::process_of;
use super::order::{Role, VARIABLE};
use super::procfs::{Stat, processes};

/// The time that processes which a command has started and not waited for have to end by themselves.
const GRACE: Duration = Duration::from_millis(100);

/// A command: given to a keeper, or traced.
pub(crate) const COMMAND: Role<CommandTask> = Role::of_commands("command");

/// Runs commands.
pub(crate) const KEEPER: Role<()> = Role::of_commands("keeper");

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
    /// The command with its descriptors, but for standard error. The second of the two is the one that has to
    /// be open when it is started.
    fn shell(&self) -> io::Result<(Command, Option<OwnedFd>)> {
        let mut command = Command::new("sh");
        // `exec`: the process that is killed is the program, not a shell that waits for it.
        command.arg("-c").arg(format!("exec {}", self.command));
        command.envs(self.environment.iter().cloned());
        command.env_remove(VARIABLE);
        command.stdin(open(File::options().read(true), Path::new("/dev/null"))?);
        command.stdout(open(File::options().write(true), &self.output)?);
        let mut inherited = None;
        if let Some(path) = &self.descriptor {
            // Unlike the file, its duplicate stays open in the programs that this one becomes.
            let kept = dup(open(File::options().write(true), path)?)?;
            command.env("PLUGPULL_FD", kept.as_raw_fd().to_string());
            inherited = Some(kept);
        }
        Ok((command, inherited))
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

/// What a keeper is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    Run {
        task: CommandTask,
        /// A file that exists: the command's standard error.
        stderr: PathBuf,
    },
    /// End the command that runs. If it has ended by itself meanwhile, nothing.
    Kill,
}

/// What a keeper answers to [`Ask::Run`], in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Ended(Ending),
    /// There was no command at all: why.
    NotStarted(String),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// It was to be killed.
    pub(super) ordered: bool,
    /// As `waitpid` has it.
    pub(super) status: i32,
    /// Processes that it left behind.
    pub(super) left_behind: usize,
}

/// In a traced child: becomes the command.
pub(crate) fn become_command(task: &CommandTask) -> io::Result<()> {
    let (mut shell, _inherited) = task.shell()?;
    Err(no_shell(&shell.exec()))
}

/// In a child: runs one command after the other, and ends what each leaves behind.
pub(crate) fn carry_out_keeper() -> io::Result<()> {
    set_child_subreaper(true)?;
    let current = Mutex::default();
    std::thread::scope(|scope| {
        let (sender, asked) = channel();
        let current = &current;
        // The end of what is asked ends the loop below.
        scope.spawn(move || listen(&sender, current));
        for (task, stderr) in asked {
            let answer = match keep(&task, &stderr, current) {
                Ok(ending) => Answer::Ended(ending),
                Err(error) => Answer::NotStarted(error.to_string()),
            };
            let mut report = io::stdout();
            // On a line of its own, also where a test harness has printed half of one.
            writeln!(report, "\n{}", serde_json::to_string(&answer)?)?;
            report.flush()?;
        }
        Ok(())
    })
}

/// The command that was asked for last.
#[derive(Debug, Default)]
struct Current {
    /// Its process group, while it runs. Its process is not reaped before, so the id is its own.
    group: Option<Pid>,
    /// It is to be killed.
    ordered: bool,
}

impl Current {
    /// An order to kill may come before the command has been started, or after its end.
    fn kill(&self) {
        if let Some(group) = self.group.filter(|_| self.ordered)
            && let Err(error) = killpg(group, Signal::SIGKILL)
        {
            eprintln!("cannot end process group {group}: {error}");
        }
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands on what is to be run, and kills what is to end. The end of standard input, or an error, is the
/// end of all.
fn listen(sender: &Sender<(CommandTask, PathBuf)>, current: &Mutex<Current>) {
    let order_end = || {
        let mut current = lock(current);
        current.ordered = true;
        current.kill();
    };
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else {
            break;
        };
        match serde_json::from_str(&line).expect("the harness wrote it") {
            Ask::Run { task, stderr } => {
                lock(current).ordered = false;
                drop(sender.send((task, stderr)));
            }
            Ask::Kill => order_end(),
        }
    }
    order_end();
}

/// Runs a command to its end.
fn keep(task: &CommandTask, stderr: &Path, current: &Mutex<Current>) -> io::Result<Ending> {
    let (mut shell, inherited) = task.shell()?;
    shell.stderr(open(File::options().write(true), stderr)?);
    let mut now = lock(current);
    let spawned = shell.process_group(0).spawn();
    let mut child = spawned.map_err(|error| no_shell(&error))?;
    let group = process_of(&child);
    now.group = Some(group);
    now.kill();
    drop(now);
    // The next command gets the same number: a shell may know descriptors of one digit only.
    drop((shell, inherited));
    // Not reaped yet: its id stays its own until nothing kills by it any more.
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(group), flags) == Err(Errno::EINTR) {}
    let mut now = lock(current);
    now.group = None;
    let ordered = now.ordered;
    drop(now);
    let status = child.wait().map_err(|error| {
        let reason = format!("cannot wait for the command (process {group}): {error}");
        io::Error::new(error.kind(), reason)
    })?;
    Ok(Ending {
        ordered,
        status: status.into_raw(),
        left_behind: sweep(if ordered { Duration::ZERO } else { GRACE })?,
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
