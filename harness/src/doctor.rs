//! What this machine lets a torture do: tried, not guessed, and told in words.
//!
//! A crash kind is probed by doing in small what it does at large: this program is started again, as
//! a child that records an event and writes a file, with a tracer or without.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

use crate::child::{Launcher, Role, Running, Target, anonymous_file, printed, spawn};
use crate::crash::CrashKind;
use crate::disk::{self, FileSystem, FileSystemKind};
use crate::history::History;
use crate::scratch::Scratch;
use crate::trace::{Call, Decision, End, Observer, Tracer};

/// A probe has so little to do that it is stuck after so long.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Whether this machine can run a crash kind; if not, why.
///
/// Probed once a process: it is the machine that answers, not the subject.
pub(crate) fn availability(kind: CrashKind, launcher: &Launcher) -> Result<(), String> {
    static KILL: OnceLock<Result<(), String>> = OnceLock::new();
    static SYSCALL: OnceLock<Result<(), String>> = OnceLock::new();
    match kind {
        CrashKind::Kill => KILL.get_or_init(|| Probe::new(launcher)?.kill()).clone(),
        CrashKind::Syscall => SYSCALL
            .get_or_init(|| Probe::new(launcher)?.syscall())
            .clone(),
        CrashKind::Disk => on_some_disk(),
        // In memory, in this process.
        CrashKind::Power | CrashKind::Fault | CrashKind::Rot => Ok(()),
    }
}

/// Whether power cuts on this real file system can be tried here; tried in small.
pub(crate) fn on_disk(kind: FileSystemKind) -> Result<(), String> {
    static FOUND: [OnceLock<Result<(), String>>; 3] = [const { OnceLock::new() }; 3];
    let index = FileSystemKind::ALL.iter().position(|known| *known == kind);
    let found = &FOUND[index.expect("all are in the list")];
    found
        .get_or_init(|| disk::available(&FileSystem::new(kind), &std::env::temp_dir()))
        .clone()
}

fn on_some_disk() -> Result<(), String> {
    let found = FileSystemKind::ALL.map(on_disk);
    if found.iter().any(Result::is_ok) {
        return Ok(());
    }
    found.into_iter().collect()
}

/// A child that does what every writer does, in a directory of its own.
struct Probe {
    _scratch: Scratch,
    history: History,
    target: Target,
}

impl Probe {
    fn new(launcher: &Launcher) -> Result<Self, String> {
        let base = std::env::temp_dir();
        let scratch = Scratch::create(&base)
            .map_err(|error| format!("no directory can be made in {}: {error}", base.display()))?;
        let history = History::create(16).map_err(|error| format!("no memfd: {error}"))?;
        let target = Target {
            launcher: launcher.clone(),
            subject: String::new(),
            engine: String::new(),
            dir: scratch.path().to_owned(),
            hang_limit: PROBE_LIMIT,
        };
        Ok(Self {
            _scratch: scratch,
            history,
            target,
        })
    }

    fn role(&self) -> Role {
        Role::Probe {
            history: self.history.path().into(),
        }
    }

    fn kill(&self) -> Result<(), String> {
        let cannot = |error: io::Error| format!("this program cannot be started again: {error}");
        let mut child = Running::start(&self.target, self.role()).map_err(cannot)?;
        if child.wait().map_err(cannot)?.is_none() {
            return Err(format!("a child hangs: no end after {PROBE_LIMIT:?}"));
        }
        match self.history.reserved() {
            0 => Err(format!("a child cannot work: {}", child.output())),
            _ => Ok(()),
        }
    }

    fn syscall(&self) -> Result<(), String> {
        let cannot = |error: io::Error| format!("{error}; {}", ptrace_advice());
        let (child, output) = spawn(&self.target, self.role(), true).map_err(cannot)?;
        let tracer = Tracer::new(child, &self.target.dir).map_err(cannot)?;
        let mut stops = Stops::default();
        let run = tracer.time_limit(PROBE_LIMIT).run(&mut stops);
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
                "a traced child hangs: no end after {PROBE_LIMIT:?}; {}",
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
    match sysctl("kernel/yama/ptrace_scope").as_deref() {
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

/// Tells what works here, on standard output. Whether every crash kind does.
pub(crate) fn report() -> bool {
    let mut text = String::new();
    let root = if geteuid().is_root() {
        "root"
    } else {
        "not root"
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (release, arch) = (release.trim(), std::env::consts::ARCH);
    line(
        &mut text,
        format_args!("Linux {release} on {arch}, as {root}.\n"),
    );

    line(&mut text, format_args!("Crash kinds:"));
    let mut all = true;
    let unprivileged = CrashKind::UNPRIVILEGED.map(|kind| {
        let found = availability(kind, &Launcher::Binary);
        (kind.to_string(), found)
    });
    let disks = FileSystemKind::ALL.map(|kind| (format!("disk {kind}"), on_disk(kind)));
    for (kind, found) in unprivileged.into_iter().chain(disks) {
        all &= found.is_ok();
        match found {
            Ok(()) => line(&mut text, format_args!("  {kind:<10} works")),
            Err(why) => line(&mut text, format_args!("  {kind:<10} UNAVAILABLE: {why}")),
        }
    }

    line(&mut text, format_args!("\nThis machine:"));
    for (name, found) in features() {
        let (has, said) = match found {
            Ok(said) => ("yes", said),
            Err(said) => ("no", said),
        };
        line(&mut text, format_args!("  {name:<12} {has:<4} {said}"));
    }
    let verdict = if all {
        "\nEverything that `run` does works here."
    } else {
        "\nWithout what is unavailable, `run` does the rest and says so."
    };
    line(&mut text, format_args!("{verdict}"));
    print!("{text}");
    all
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes everything");
}

/// What is there, and what is not, with what to do about it.
type Feature = Result<String, String>;

fn features() -> Vec<(&'static str, Feature)> {
    let ok = |said: &str| Ok(said.to_owned());
    let memfd = anonymous_file("plugpull-probe");
    let scope = sysctl("kernel/yama/ptrace_scope").map_or("no Yama".to_owned(), |scope| {
        format!("kernel.yama.ptrace_scope is {scope}")
    });
    vec![
        (
            "memfd",
            memfd.map_or_else(
                |error| Err(error.to_string()),
                |_| ok("the history lives there"),
            ),
        ),
        (
            "ptrace",
            availability(CrashKind::Syscall, &Launcher::Binary)
                .map(|()| format!("with seccomp; {scope}")),
        ),
        ("/dev/shm", memory()),
        ("temporary", temporary()),
        (
            "root",
            if geteuid().is_root() {
                ok("mounts and devices are allowed")
            } else {
                Err("no mounts, no devices: only where you are root".to_owned())
            },
        ),
        (
            "FUSE",
            device(
                "/dev/fuse",
                "`modprobe fuse`; in a container: --device=/dev/fuse",
            ),
        ),
        (
            "loop devices",
            device(
                "/dev/loop-control",
                "`modprobe loop`, as root; in a container: --privileged",
            ),
        ),
        ("io_uring", io_uring()),
        ("ext4", tool("mkfs.ext4", "e2fsprogs")),
        ("xfs", tool("mkfs.xfs", "xfsprogs")),
        ("btrfs", tool("mkfs.btrfs", "btrfs-progs")),
    ]
}

/// A directory in memory: where `syscall` keeps what it copies at every step.
fn memory() -> Feature {
    let dir = Path::new("/dev/shm");
    let advice = "`syscall` is slower without: mount a tmpfs there, or name one with --dir";
    match statfs(dir) {
        Ok(found) if found.filesystem_type() != TMPFS_MAGIC => {
            Err(format!("it is no tmpfs; {advice}"))
        }
        Ok(found) => {
            let free = found.blocks_available() * u64::try_from(found.block_size()).unwrap_or(0);
            let free = free >> 20;
            match tempfile::tempfile_in(dir) {
                Ok(_) => Ok(format!(
                    "a tmpfs with {free} MiB free; `syscall` works there"
                )),
                Err(error) => Err(format!("it cannot be written: {error}; {advice}")),
            }
        }
        Err(error) => Err(format!("{error}; {advice}")),
    }
}

/// Where stores live while they are tortured, if nobody says otherwise.
fn temporary() -> Feature {
    let dir = std::env::temp_dir();
    let kind = statfs(&dir).map_or("an unknown file system", |found| {
        name_of(found.filesystem_type())
    });
    match tempfile::tempfile_in(&dir) {
        Ok(_) => Ok(format!("{} is {kind}; `kill` works there", dir.display())),
        Err(error) => Err(format!(
            "{} cannot be written: {error}; name another directory with --dir or TMPDIR",
            dir.display()
        )),
    }
}

fn name_of(kind: FsType) -> &'static str {
    let known = [
        (TMPFS_MAGIC, "a tmpfs"),
        (nix::sys::statfs::EXT4_SUPER_MAGIC, "ext4"),
        (nix::sys::statfs::XFS_SUPER_MAGIC, "xfs"),
        (nix::sys::statfs::BTRFS_SUPER_MAGIC, "btrfs"),
        (nix::sys::statfs::OVERLAYFS_SUPER_MAGIC, "an overlay"),
    ];
    let found = known.into_iter().find(|(magic, _)| *magic == kind);
    found.map_or("another file system", |(_, name)| name)
}

fn device(path: &str, advice: &str) -> Feature {
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Ok(format!("{path} opens")),
        Err(error) => Err(format!("{path}: {error}; {advice}")),
    }
}

/// Asks for a ring without entries: the kernel refuses that where it would give a proper one.
#[expect(unsafe_code, reason = "neither std nor nix has it")]
fn io_uring() -> Feature {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel checks the pointer, and makes nothing of zero entries.
    let asked = unsafe { libc::syscall(libc::SYS_io_uring_setup, 0, nothing) };
    match Errno::result(asked) {
        Ok(_) | Err(Errno::EINVAL | Errno::EFAULT) => Ok("a store may use it".to_owned()),
        Err(Errno::ENOSYS) => Err("this kernel has none".to_owned()),
        Err(error) => Err(format!(
            "{error}; allow it with `sysctl kernel.io_uring_disabled=0`; in a container: \
             --security-opt seccomp=unconfined"
        )),
    }
}

fn tool(name: &str, package: &str) -> Feature {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Tools for the administrator are not in everybody's path.
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    found.map_or_else(
        || Err(format!("no {name}; Debian's package is {package}")),
        |path| Ok(path.display().to_string()),
    )
}

fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(value.trim().to_owned())
}
