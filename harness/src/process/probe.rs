//! Whether this machine lets the harness start, kill and trace a child of its own: tried in small.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ending::printed;
use super::launcher::Launcher;
use super::limits::limits_suffice;
use super::order::{Order, Role};
use super::procfs::proc_is_ours;
use super::running::Running;
use crate::history::{Event, History};
use crate::scratch::Scratch;
use crate::subject::SubjectError;
use crate::trace::{Call, Decision, End, Observer, Scope, Tracer};

/// A probe has little to do: after this time it is stuck.
const LIMIT: Duration = Duration::from_secs(10);

/// Does once what every writer does, without a store.
pub(crate) const PROBE: Role<ProbeTask> = Role::new("probe");

/// Where a probe works.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProbeTask {
    dir: PathBuf,
    history: PathBuf,
}

/// In a child: a writer's work in small, an event and a file that is made, written and synced.
pub(crate) fn carry_out_probe(task: &ProbeTask) -> Result<(), SubjectError> {
    if !History::open(&task.history)?.record(Event::Refused { id: 0 }) {
        return Err("the history is full".into());
    }
    let mut file = File::create(task.dir.join("probe"))?;
    file.write_all(b"probe")?;
    Ok(file.sync_all()?)
}

/// Whether a child can be started and can work; if not, why. Probed once a process: the answer is the
/// machine's, not the subject's.
///
/// `base` is where it tries.
pub(crate) fn available(launcher: &Launcher, base: &Path) -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND
        .get_or_init(|| Probe::new(base)?.run(launcher))
        .clone()
}

/// The same for a child that is traced.
pub(crate) fn available_traced(launcher: &Launcher, base: &Path) -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || Probe::new(base)?.run_traced(launcher);
    FOUND.get_or_init(probe).clone()
}

/// A child that does what every writer does, in a directory of its own.
struct Probe {
    scratch: Scratch,
    history: History,
}

impl Probe {
    fn new(base: &Path) -> Result<Self, String> {
        limits_suffice()?;
        proc_is_ours().map_err(|error| error.to_string())?;
        let scratch = Scratch::create(base).map_err(|error| error.to_string())?;
        let history = History::create(16).map_err(|error| format!("no memfd: {error}"))?;
        Ok(Self { scratch, history })
    }

    fn order(&self) -> io::Result<Order> {
        let task = ProbeTask {
            dir: self.scratch.path().to_owned(),
            history: self.history.path().into(),
        };
        Order::new(&PROBE, &task)
    }

    fn run(&self, launcher: &Launcher) -> Result<(), String> {
        let cannot = |error: io::Error| format!("this program cannot be started again: {error}");
        let mut child = self
            .order()
            .and_then(|order| Running::start(launcher, &order, LIMIT))
            .map_err(cannot)?;
        let Some(ended) = child.wait().map_err(cannot)? else {
            return Err(format!("a child hangs: no end after {LIMIT:?}"));
        };
        match self.history.reserved() {
            0 => Err(format!("a child cannot work: {}", ended.words())),
            _ => Ok(()),
        }
    }

    fn run_traced(&self, launcher: &Launcher) -> Result<(), String> {
        let cannot = |error: io::Error| format!("{error}; {}", ptrace_advice());
        let (child, output) = self
            .order()
            .and_then(|order| launcher.spawn_traced(&order, Scope::Everything))
            .map_err(cannot)?;
        let tracer = Tracer::new(child, self.scratch.path()).map_err(cannot)?;
        let mut stops = Stops::default();
        let run = tracer.time_limit(LIMIT).run(&mut stops);
        match run.map_err(cannot)?.end {
            // Made, written, synced.
            End::Exited(0) if stops.before >= 3 && stops.after == stops.before => Ok(()),
            End::Exited(0) => Err(format!(
                "a traced child was not stopped at its system calls ({} stops before one, {} after); {}",
                stops.before,
                stops.after,
                ptrace_advice(),
            )),
            End::TimedOut => Err(format!(
                "a traced child hangs: no end after {LIMIT:?}; {}",
                ptrace_advice(),
            )),
            _ => Err(format!(
                "a traced child cannot work: {}; {}",
                printed(&output),
                ptrace_advice(),
            )),
        }
    }
}

/// Counts.
#[derive(Default)]
struct Stops {
    before: u64,
    after: u64,
}

impl Observer for Stops {
    fn before(&mut self, _: &Call) -> Decision {
        self.before += 1;
        Decision::Continue
    }

    fn after(&mut self, _: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        self.after += 1;
        ControlFlow::Continue(())
    }
}

/// What forbids tracing, as far as the machine tells, and what to do about it.
fn ptrace_advice() -> &'static str {
    match ptrace_scope().as_deref() {
        Some("2") => "kernel.yama.ptrace_scope is 2: run as root, or set it to 1 with sysctl",
        Some("3") => {
            "kernel.yama.ptrace_scope is 3, which forbids ptrace until the next boot: remove the \
             setting from /etc/sysctl.d"
        }
        _ => {
            "ptrace or seccomp is forbidden, as in some containers: allow them with `docker run \
             --cap-add=SYS_PTRACE --security-opt seccomp=unconfined`, or run outside"
        }
    }
}

/// Yama's setting, where the kernel has it.
pub(crate) fn ptrace_scope() -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys/kernel/yama/ptrace_scope")).ok()?;
    Some(value.trim().to_owned())
}

/// What every command needs: a shell, and `/dev/null` as its standard input. Where the shell is.
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn commands_can_run() -> Result<PathBuf, String> {
    let null = Path::new("/dev/null");
    let opened = File::options().read(true).write(true).open(null);
    let wrong = match opened.and_then(|file| file.metadata()) {
        Ok(found) if found.file_type().is_char_device() => return shell(),
        Ok(_) => "it is no device".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(format!(
        "/dev/null: {wrong}; commands read and write it: `mknod -m 666 /dev/null c 1 3`, as root"
    ))
}

fn shell() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("sh"));
    places.find(|place| place.is_file()).ok_or_else(|| {
        format!(
            "no program sh in PATH ({}): commands are run by it",
            path.to_string_lossy()
        )
    })
}
