//! The order of a child process, and how the process carries it out.

use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::procfs::proc_is_ours;
pub(super) use crate::disk::ORDER_VARIABLE as VARIABLE;
use crate::subject::SubjectError;
use crate::trace::{self, Scope};

/// As the runtime ends a program that panicked.
const EXIT_PANIC: i32 = 101;
/// The harness died before the child could ask to die with it.
const EXIT_ORPHAN: i32 = 3;
/// The child could not do the harness's part of its work: no fault of the store. The line with
/// [`NOT_THE_STORE`] says why.
pub(super) const EXIT_ENVIRONMENT: i32 = 93;
/// Begins the last line of such a child.
pub(super) const NOT_THE_STORE: &str = "plugpull cannot do its part: ";

/// A job that a child process can have, and the type of its task.
pub(crate) struct Role<T> {
    name: &'static str,
    /// The kernel kills the child when the harness dies.
    dies_with_harness: bool,
    /// The child runs commands, or becomes one: its environment is that of their user.
    of_commands: bool,
    task: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Role<T> {
    /// A child that the kernel kills when the harness dies.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            dies_with_harness: true,
            of_commands: false,
            task: PhantomData,
        }
    }

    /// A child that runs commands, or becomes one. A keeper sees by itself that the harness is gone, since
    /// it has others to end first; what is traced, the tracer ends.
    pub(super) const fn of_commands(name: &'static str) -> Self {
        Self {
            dies_with_harness: false,
            of_commands: true,
            ..Self::new(name)
        }
    }
}

/// What one child process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    role: String,
    task: Value,
    /// Wait for a tracer before anything else, and stop at these calls.
    traced: Option<Scope>,
    /// The process to die with.
    harness: Option<i32>,
    of_commands: bool,
}

impl Order {
    /// # Errors
    /// If the task names a path that is not UTF-8.
    pub(crate) fn new<T: Serialize + DeserializeOwned>(
        role: &Role<T>,
        task: &T,
    ) -> io::Result<Self> {
        let harness = i32::try_from(std::process::id()).expect("process ids are small");
        Ok(Self {
            role: role.name.to_owned(),
            task: serde_json::to_value(task)?,
            traced: None,
            harness: role.dies_with_harness.then_some(harness),
            of_commands: role.of_commands,
        })
    }

    pub(super) fn traced(&self, scope: Scope) -> Self {
        Self {
            traced: Some(scope),
            ..self.clone()
        }
    }

    pub(super) fn is_of_commands(&self) -> bool {
        self.of_commands
    }

    pub(super) fn task<T: DeserializeOwned>(&self) -> io::Result<T> {
        Ok(T::deserialize(&self.task)?)
    }

    pub(super) fn put_into(&self, command: &mut Command) -> io::Result<()> {
        // The child opens by /proc what it is handed.
        proc_is_ours()?;
        command.env(VARIABLE, serde_json::to_string(self)?);
        Ok(())
    }

    fn received() -> Option<Self> {
        let order = std::env::var(VARIABLE).ok()?;
        Some(serde_json::from_str(&order).expect("the harness wrote the order"))
    }
}

/// Whether this process has an order: then it must not begin anything of its own.
pub(crate) fn has_order() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obeyed {
    Done,
    /// It is for another torture of this program.
    NotForUs,
}

/// Why an order was not carried out.
pub(crate) enum Failed {
    /// The store's own error.
    Store(SubjectError),
    /// The harness's: what it needs of the machine cannot be had.
    Environment(SubjectError),
}

/// A role calls the store, and does I/O of its own besides.
impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Environment(error.into())
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Environment(error.into())
    }
}

type CarryOut<'a> = Box<dyn Fn(Value, bool) -> Result<Obeyed, Failed> + 'a>;

/// The roles that a child of this program can have.
#[derive(Default)]
pub(crate) struct Roles<'a> {
    known: Vec<(&'static str, CarryOut<'a>)>,
}

impl<'a> Roles<'a> {
    /// Adds a role and what carries it out. The second argument tells whether the process is traced.
    pub(crate) fn with<T: Serialize + DeserializeOwned>(
        mut self,
        role: &Role<T>,
        carry_out: impl Fn(T, bool) -> Result<Obeyed, Failed> + 'a,
    ) -> Self {
        let carry_out = move |task, traced| carry_out(serde_json::from_value(task)?, traced);
        self.known.push((role.name, Box::new(carry_out)));
        self
    }

    /// In a child: carries out its order, if it is for one of these roles, and ends the process.
    /// Elsewhere: returns.
    pub(crate) fn obey(&self) {
        let Some(order) = Order::received() else {
            return;
        };
        let known = self.known.iter().find(|(name, _)| *name == order.role);
        let Some((_, carry_out)) = known else {
            return;
        };
        if let Some(harness) = order.harness {
            set_pdeathsig(Signal::SIGKILL).expect("the kernel knows the signal");
            if getppid() != Pid::from_raw(harness) {
                exit(EXIT_ORPHAN);
            }
        }
        let obey = || {
            if let Some(scope) = order.traced {
                trace::enter_child_of(scope)?;
            }
            carry_out(order.task.clone(), order.traced.is_some())
        };
        // A panic must not unwind into a test runner: a test that should panic would pass by it. The
        // process ends here, so nothing sees what the panic left half done.
        exit(match catch_unwind(AssertUnwindSafe(obey)) {
            Ok(Ok(Obeyed::Done)) => 0,
            Ok(Ok(Obeyed::NotForUs)) => return,
            Ok(Err(Failed::Store(error))) => {
                eprintln!("{error}");
                1
            }
            Ok(Err(Failed::Environment(error))) => {
                eprintln!("\n{NOT_THE_STORE}{error}");
                EXIT_ENVIRONMENT
            }
            // The hook has printed it.
            Err(_) => EXIT_PANIC,
        })
    }
}

/// Ends the process at once: nothing that a test harness or a runtime has registered runs any more.
#[expect(unsafe_code, reason = "there is no safe _exit")]
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: it takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}
