//! How this program is started again.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keeper::KEEPER;
use super::line::Line;
use super::order::Order;
use crate::memory_file::memory_file;
use crate::stop::Stop;
use crate::trace::Scope;

/// This program, also where its file was removed or replaced since it was started, as a build does.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How to start this program again so that it obeys an order.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    /// It is a test binary, and the test of this name obeys. Else it obeys at the start of `main`.
    test: Option<String>,
    /// Ends every wait for a child.
    stop: Stop,
    /// Keepers that run no command now. All are in the mount namespace `home`.
    keepers: Arc<Mutex<Vec<Line>>>,
    home: Option<u64>,
}

/// The mount namespace of this thread, by its inode number.
fn mount_namespace() -> Option<u64> {
    let namespace = std::fs::metadata("/proc/thread-self/ns/mnt").ok()?;
    Some(namespace.ino())
}

impl Launcher {
    /// For a program that obeys at the start of `main`.
    pub(crate) fn binary() -> Self {
        Self {
            test: None,
            stop: Stop::default(),
            keepers: Arc::default(),
            home: mount_namespace(),
        }
    }

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
        let test = of_thread.or_else(of_arguments).ok_or(
            "cannot tell which test this is: run it with more than one test thread, or alone by its \
             exact name",
        )?;
        Ok(Self {
            test: Some(test),
            ..Self::binary()
        })
    }

    /// The test that obeys, if it is one.
    pub(crate) fn test(&self) -> Option<&str> {
        self.test.as_deref()
    }

    /// The same; whatever waits for a child ends when `stop` is set.
    pub(crate) fn stopped_by(self, stop: &Stop) -> Self {
        Self {
            stop: stop.clone(),
            ..self
        }
    }

    /// Asked at each look at a child that is waited for.
    ///
    /// # Errors
    /// If the end was asked for.
    pub(crate) fn check_stop(&self) -> io::Result<()> {
        self.stop.check()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(THIS_PROGRAM);
        // What `ps` shows is the program's own name.
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        if let Some(name) = &self.test {
            let args = [
                "--exact",
                "--nocapture",
                "--include-ignored",
                "--test-threads=1",
            ];
            command.arg(name).args(args);
        }
        command
    }

    /// Starts a process with an order, in a process group of its own. The file gets what the process
    /// prints on standard error, and on standard output if that goes nowhere else.
    pub(super) fn spawn(&self, order: &Order, output: Option<Stdio>) -> io::Result<(Child, File)> {
        let stderr = memory_file("plugpull-stderr")?;
        let output = match output {
            Some(output) => output,
            None => Stdio::from(stderr.try_clone()?),
        };
        let mut command = self.command();
        order.put_into(&mut command)?;
        if !order.is_of_commands() {
            // Looking up a backtrace takes longer than a writer lives: its panic would go unnoticed.
            // The environment of a command is its user's.
            command.env("RUST_BACKTRACE", "0");
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::from(stderr.try_clone()?))
            // Ctrl-C is for the harness, which ends its children itself, and theirs with them.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                let reason = format!("cannot start {THIS_PROGRAM} again: {error}");
                io::Error::new(error.kind(), reason)
            })?;
        Ok((child, stderr))
    }

    /// A keeper that runs no command.
    pub(super) fn keeper(&self) -> io::Result<Line> {
        let idle = self.is_home().then(|| self.idle().pop()).flatten();
        if let Some(keeper) = idle {
            return Ok(keeper);
        }
        let order = Order::new(&KEEPER, &())?;
        let (keeper, stderr) = self.spawn(&order, Some(Stdio::piped()))?;
        Ok(Line::new(keeper, stderr))
    }

    /// For the next command.
    pub(super) fn take_back(&self, keeper: Line) {
        if self.is_home() {
            self.idle().push(keeper);
        }
    }

    /// A process keeps the mount namespace of the thread that started it, and the file systems that are
    /// mounted in it. A thread that has one of its own leaves nothing in it.
    fn is_home(&self) -> bool {
        self.home.is_some() && self.home == mount_namespace()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Line>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process that does nothing before its tracer has let it begin, and stops at these calls.
    pub(crate) fn spawn_traced(&self, order: &Order, scope: Scope) -> io::Result<(Child, File)> {
        self.spawn(&order.traced(scope), None)
    }
}
