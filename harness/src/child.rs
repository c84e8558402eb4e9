//! The processes that are killed: the same binary, started again with an order in its environment.
//!
//! A torture binary finds the order at the start of its `main`. In a test, the same test is started
//! again by its name; it runs until it comes to its torture, which finds the order.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use crate::blackbox;
use crate::checker::answer;
use crate::history::{Event, History, Recorder};
use crate::subject::{RecoverRun, Subject, SubjectError, Survivor, Survivors, WriteRun};
use crate::trace;
use crate::workload::Workload;

const ORDER_VARIABLE: &str = "PLUGPULL_ORDER";
/// The last part of what a child printed, in bytes: a verdict quotes it.
const QUOTED_BYTES_MAX: u64 = 4096;
/// As the runtime ends a program that panicked.
const EXIT_PANIC: i32 = 101;

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
    /// The same, and ends when its work is done.
    WriteToTheEnd {
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
    /// Does once what every writer does, without a store: shows whether this machine lets it.
    Probe { history: PathBuf },
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

    pub(crate) fn command(&self) -> io::Result<Command> {
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
    blackbox::obey();
    let Ok(order) = std::env::var(ORDER_VARIABLE) else {
        return;
    };
    let order: Order = serde_json::from_str(&order).expect("the harness wrote the order");
    let probes = matches!(order.role, Role::Probe { .. });
    let Some(subject) = subjects
        .iter()
        .find(|subject| probes || subject.name() == order.subject)
    else {
        return;
    };
    // If the harness dies, so do we. It may have died before we asked for that.
    set_pdeathsig(Signal::SIGKILL).expect("the kernel knows the signal");
    if getppid() != Pid::from_raw(order.harness) {
        exit(3);
    }
    // A panic must not unwind into a test runner: a test that should panic would pass by it. The
    // process ends here, so nobody sees what the panic left half done.
    exit(
        match catch_unwind(AssertUnwindSafe(|| carry_out(*subject, &order))) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                eprintln!("{error}");
                1
            }
            // The hook has printed it.
            Err(_) => EXIT_PANIC,
        },
    )
}

/// Whether this process has an order: then it must not begin anything of its own.
pub(crate) fn has_order() -> bool {
    std::env::var_os(ORDER_VARIABLE).is_some()
}

/// Ends the process at once: nothing that a test harness or a runtime has registered runs any more.
#[expect(unsafe_code, reason = "there is no safe _exit")]
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: it takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}

fn carry_out(subject: &dyn Subject, order: &Order) -> Result<(), SubjectError> {
    if order.traced {
        trace::enter_child()?;
    }
    let (dir, engine) = (order.dir.as_path(), order.engine.as_str());
    match &order.role {
        Role::Write { history, workload } | Role::WriteToTheEnd { history, workload } => {
            let recorder = Recorder::new(History::open(history)?);
            subject.write(&WriteRun {
                dir,
                engine,
                workload,
                recorder: &recorder,
            })?;
            // All actions are carried out. Under trace that is the end; else the kill is still to
            // come.
            if order.traced || matches!(order.role, Role::WriteToTheEnd { .. }) {
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
        Role::Probe { history } => probe(dir, history),
    }
}

/// A writer's work in small: an event, and a file that is made, written and synced.
fn probe(dir: &Path, history: &Path) -> Result<(), SubjectError> {
    if !History::open(history)?.record(Event::Refused { id: 0 }) {
        return Err("the history is full".into());
    }
    let mut file = File::create(dir.join("probe"))?;
    file.write_all(b"probe")?;
    Ok(file.sync_all()?)
}

/// Which subject runs where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) launcher: Launcher,
    pub(crate) subject: String,
    pub(crate) engine: String,
    pub(crate) dir: PathBuf,
    /// A child that has to end, or to answer, is given so long.
    pub(crate) hang_limit: Duration,
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
        // Looking up a backtrace takes longer than a writer lives: its panic would go unnoticed.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(stderr.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        // Ctrl-C is for the harness, which ends its children itself, and theirs with them.
        .process_group(0)
        .spawn()?;
    Ok((child, stderr))
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

/// A running child, and whatever it starts. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stderr: File,
    hang_limit: Duration,
    ended: Option<Ended>,
}

/// The end of a child that was not killed by us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// Some of what it had started was still there. It was killed.
    left_behind: bool,
}

impl Ended {
    /// With status 0, by itself.
    pub(crate) fn is_success(self) -> bool {
        self.status.success()
    }
}

impl Running {
    /// Starts a process with a role.
    pub(crate) fn start(target: &Target, role: Role) -> io::Result<Self> {
        let (child, stderr) = spawn(target, role, false)?;
        Ok(Self {
            child,
            stderr,
            hang_limit: target.hang_limit,
            ended: None,
        })
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

    /// SIGKILL, wherever it is, and to whatever it has started. Tells whether it was still alive.
    pub(crate) fn kill(&mut self) -> io::Result<bool> {
        if self.end()?.is_some() {
            return Ok(false);
        }
        // It is not reaped yet, so the group is still its own.
        let group = self.group();
        killpg(group, Signal::SIGKILL)?;
        let status = self.child.wait()?;
        end_group(group, self.hang_limit)?;
        self.ended = Some(Ended {
            status,
            left_behind: false,
        });
        Ok(std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGKILL as i32))
    }

    pub(crate) fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.end()?.is_none())
    }

    /// Looks whether it has ended. Nothing of what it had started outlives the look.
    fn end(&mut self) -> io::Result<Option<Ended>> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            let left_behind = end_group(self.group(), self.hang_limit)?;
            self.ended = Some(Ended {
                status,
                left_behind,
            });
        }
        Ok(self.ended)
    }

    /// It leads a group of its own.
    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    /// Waits for the end; `None` if the child hangs.
    pub(crate) fn wait(&mut self) -> io::Result<Option<Ended>> {
        let deadline = Instant::now() + self.hang_limit;
        let mut nap = Duration::from_micros(100);
        while Instant::now() < deadline {
            if let Some(ended) = self.end()? {
                return Ok(Some(ended));
            }
            std::thread::sleep(nap);
            nap = (nap * 5 / 4).min(Duration::from_millis(5));
        }
        self.kill()?;
        Ok(None)
    }

    /// How the child ended, if it has, and what it printed.
    pub(crate) fn output(&self) -> String {
        let output = printed(&self.stderr);
        match self.ended {
            Some(Ended { status, .. }) => format!("{status}: {output}"),
            None => output,
        }
    }
}

/// Ends what is left of a group whose leader has just been reaped, and waits until it is gone: what
/// it still does in the store's directory would belong to no crash. Tells whether there was any.
///
/// A process that has left its group is not seen here; see [`end_strays`].
fn end_group(group: Pid, limit: Duration) -> io::Result<bool> {
    // Process ids are handed out in turn: nobody has got this one since.
    match killpg(group, Signal::SIGKILL) {
        Err(Errno::ESRCH) => return Ok(false),
        sent => sent?,
    }
    let deadline = Instant::now() + limit;
    while group_is_alive(group)? {
        if Instant::now() > deadline {
            let reason = format!("process group {group} does not die");
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(true)
}

/// Whether any member can still do something. One that nobody has reaped yet, for which a container
/// may have nobody, cannot.
fn group_is_alive(group: Pid) -> io::Result<bool> {
    for process in processes()? {
        // After the name, which may hold anything: state, parent, group.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        let state = fields.next();
        let its_group = fields.nth(1).and_then(|field| field.parse().ok());
        if its_group == Some(group.as_raw()) && !matches!(state, Some("Z" | "X")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All processes, by `/proc`.
fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = std::fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some(Pid::from_raw(name.to_str()?.parse().ok()?))
    }))
}

/// Ends what children have left behind outside their groups (a daemon in a session of its own): it
/// still carries its ancestor's order, for a directory below `scratch`, in its environment. Returns
/// how many there were.
pub(crate) fn end_strays(scratch: &Path) -> io::Result<u64> {
    let marks = [
        format!("{ORDER_VARIABLE}=").into_bytes(),
        scratch.to_string_lossy().into_owned().into_bytes(),
    ];
    let mut strays = 0;
    for process in processes()? {
        // Others' cannot be read, and some are gone since.
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let [order, dir] = &marks;
        let ours = |variable: &[u8]| {
            variable.starts_with(order) && variable.windows(dir.len()).any(|part| part == dir)
        };
        if variables.any(ours) {
            match kill(process, Signal::SIGKILL) {
                Ok(()) => strays += 1,
                Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(strays)
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
            Some(ended) if ended.status.success() && ended.left_behind => Ok(Err(
                "it has left processes behind that it had started".to_owned(),
            )),
            Some(ended) if ended.status.success() => {
                let mut bytes = Vec::new();
                survivors.rewind()?;
                survivors.read_to_end(&mut bytes)?;
                Ok(Ok(Survivor::decode_all(&bytes)))
            }
            Some(_) => Ok(Err(child.output())),
            None => Ok(Err(format!(
                "it hangs: no end after {:?}",
                target.hang_limit
            ))),
        }
    };
    match run() {
        Ok(result) => result.map_err(Ok),
        Err(error) => Err(Err(error)),
    }
}

/// A file in memory that a child can be handed.
pub(crate) fn anonymous_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?))
}
