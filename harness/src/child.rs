//! The processes that are killed: the same binary, started again with an order in its environment.
//!
//! A torture binary finds the order at the start of its `main`. In a test, the same test is started
//! again by its name; it runs until it comes to its torture, which finds the order.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use crate::checker::answer;
use crate::history::{History, Recorder};
use crate::subject::{RecoverRun, Subject, SubjectError, Survivor, Survivors, WriteRun};
use crate::trace;
use crate::workload::Workload;

const ORDER_VARIABLE: &str = "PLUGPULL_ORDER";
/// A child that has to stop by itself is given so long.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(30);

/// What a child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    harness: i32,
    subject: String,
    engine: String,
    dir: PathBuf,
    /// Wait for a tracer before anything else.
    traced: bool,
    role: Role,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    Write {
        history: PathBuf,
        workload: Workload,
    },
    Recover {
        output: PathBuf,
        workloads: Vec<Workload>,
        close: bool,
    },
    /// Recovers as often as it is asked on its standard input.
    Check { answers: PathBuf },
}

/// How to start this program again so that it comes to `obey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Launcher {
    /// It obeys at the start of `main`.
    Binary,
    /// It is a test binary, and the test of this name obeys.
    Test(String),
}

impl Launcher {
    /// For a torture inside a test: the test harness names the thread after the test. With a single
    /// test thread it does not, but then a runner that starts each test alone has named it in the
    /// arguments.
    pub(crate) fn of_this_test() -> Result<Self, String> {
        let thread = std::thread::current();
        let of_thread = thread
            .name()
            .filter(|name| *name != "main")
            .map(str::to_owned);
        let exact = std::env::args().any(|arg| arg == "--exact");
        let of_arguments = || {
            std::env::args()
                .skip(1)
                .find(|arg| exact && !arg.starts_with('-'))
        };
        of_thread.or_else(of_arguments).map(Self::Test).ok_or_else(|| {
            "cannot tell which test this is: run it with more than one test thread, or alone by its \
             exact name"
                .to_owned()
        })
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Self::Test(name) = self {
            let args = [
                "--exact",
                "--nocapture",
                "--include-ignored",
                "--test-threads=1",
            ];
            command.arg(name).args(args);
        }
        Ok(command)
    }
}

/// In a child: carries out its order, if it is for one of these subjects, and ends the process.
/// Elsewhere: returns.
pub(crate) fn obey(subjects: &[&dyn Subject]) {
    let Ok(order) = std::env::var(ORDER_VARIABLE) else {
        return;
    };
    let order: Order = serde_json::from_str(&order).expect("the harness wrote the order");
    let Some(subject) = subjects
        .iter()
        .find(|subject| subject.name() == order.subject)
    else {
        return;
    };
    // If the harness dies, so do we. It may have died before we asked for that.
    set_pdeathsig(Signal::SIGKILL).expect("the kernel knows the signal");
    if getppid() != Pid::from_raw(order.harness) {
        exit(3);
    }
    exit(match carry_out(*subject, &order) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    })
}

/// Ends the process at once: nothing that a test harness or a runtime has registered runs any more.
#[expect(unsafe_code, reason = "there is no safe _exit")]
fn exit(status: i32) -> ! {
    // SAFETY: it takes no pointer and does not return.
    unsafe { nix::libc::_exit(status) }
}

fn carry_out(subject: &dyn Subject, order: &Order) -> Result<(), SubjectError> {
    if order.traced {
        trace::enter_child()?;
    }
    let (dir, engine) = (order.dir.as_path(), order.engine.as_str());
    match &order.role {
        Role::Write { history, workload } => {
            let recorder = Recorder::new(History::open(history)?);
            subject.write(&WriteRun {
                dir,
                engine,
                workload,
                recorder: &recorder,
            })?;
            // All actions are carried out. Under trace that is the end; else the kill is still to
            // come.
            if order.traced {
                return Ok(());
            }
            loop {
                std::thread::park();
            }
        }
        Role::Recover {
            output,
            workloads,
            close,
        } => {
            let mut survivors = Survivors::new(workloads);
            subject.recover(
                &RecoverRun {
                    dir,
                    engine,
                    close: *close,
                },
                &mut survivors,
            )?;
            let mut output = File::options().write(true).open(output)?;
            Ok(output.write_all(&Survivor::encode_all(&survivors.entries))?)
        }
        Role::Check { answers } => answer(subject, engine, answers),
    }
}

/// Which subject runs where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) launcher: Launcher,
    pub(crate) subject: String,
    pub(crate) engine: String,
    pub(crate) dir: PathBuf,
}

/// Starts a process with a role. What it prints goes to the file.
///
/// A traced one does nothing before its tracer has let it begin.
pub(crate) fn spawn(target: &Target, role: Role, traced: bool) -> io::Result<(Child, File)> {
    let stderr = anonymous_file("plugpull-stderr")?;
    let order = Order {
        harness: i32::try_from(std::process::id()).expect("process ids are small"),
        subject: target.subject.clone(),
        engine: target.engine.clone(),
        dir: target.dir.clone(),
        traced,
        role,
    };
    let child = target
        .launcher
        .command()?
        .env(ORDER_VARIABLE, serde_json::to_string(&order)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(stderr.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        // Ctrl-C is for the harness, which ends its children itself.
        .process_group(0)
        .spawn()?;
    Ok((child, stderr))
}

/// What a child has printed to its file.
pub(crate) fn printed(mut stderr: &File) -> String {
    let mut bytes = Vec::new();
    let read = stderr
        .rewind()
        .and_then(|()| stderr.read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stderr: File,
}

impl Running {
    /// Starts a process with a role.
    pub(crate) fn start(target: &Target, role: Role) -> io::Result<Self> {
        let (child, stderr) = spawn(target, role, false)?;
        Ok(Self { child, stderr })
    }

    /// Starts a process that writes until it is killed.
    pub(crate) fn writer(
        target: &Target,
        history: &History,
        workload: &Workload,
    ) -> io::Result<Self> {
        let history = history.path().into();
        Self::start(
            target,
            Role::Write {
                history,
                workload: workload.clone(),
            },
        )
    }

    /// Starts a process that recovers the store.
    pub(crate) fn recoverer(
        target: &Target,
        workloads: &[Workload],
        close: bool,
    ) -> io::Result<(Self, File)> {
        let survivors = anonymous_file("plugpull-survivors")?;
        let output = format!("/proc/{}/fd/{}", std::process::id(), survivors.as_raw_fd()).into();
        let role = Role::Recover {
            output,
            workloads: workloads.to_vec(),
            close,
        };
        Ok((Self::start(target, role)?, survivors))
    }

    /// The child's standard input.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("it is piped and kept")
    }

    /// SIGKILL, wherever it is. Tells whether it was still alive.
    pub(crate) fn kill(&mut self) -> io::Result<bool> {
        if self.child.try_wait()?.is_some() {
            return Ok(false);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok(std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGKILL as i32))
    }

    pub(crate) fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for the end; `None` if the child hangs.
    fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + HANG_LIMIT;
        let mut nap = Duration::from_micros(100);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(nap);
            nap = (nap * 5 / 4).min(Duration::from_millis(5));
        }
        self.kill()?;
        Ok(None)
    }

    /// What the child printed.
    pub(crate) fn output(&self) -> String {
        printed(&self.stderr)
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

/// Recovers in a fresh process. `Err(Ok(..))` is what the store did wrong.
pub(crate) fn recover(
    target: &Target,
    workloads: &[Workload],
    close: bool,
) -> Result<Vec<Survivor>, Result<String, io::Error>> {
    let run = || -> io::Result<Result<Vec<Survivor>, String>> {
        let (mut child, mut survivors) = Running::recoverer(target, workloads, close)?;
        match child.wait()? {
            Some(status) if status.success() => {
                let mut bytes = Vec::new();
                survivors.rewind()?;
                survivors.read_to_end(&mut bytes)?;
                Ok(Ok(Survivor::decode_all(&bytes)))
            }
            Some(status) => Ok(Err(format!("{status}: {}", child.output()))),
            None => Ok(Err(format!("no end after {} s", HANG_LIMIT.as_secs()))),
        }
    };
    match run() {
        Ok(result) => result.map_err(Ok),
        Err(error) => Err(Err(error)),
    }
}

/// A file in memory that a child can be handed.
fn anonymous_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?))
}
