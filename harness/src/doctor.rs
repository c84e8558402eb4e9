//! What this machine lets a torture do: tried, not guessed, and told in words.
//!
//! Each crash kind probes itself by doing in small what it does at large.

use std::fmt::Write as _;
use std::fs;

use nix::errno::Errno;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

use crate::disk::{self, FileSystemKind, mkfs};
use crate::kinds::REGISTRY;
use crate::memory_file::memory_file;
use crate::process::{
    Launcher, available_traced, commands_can_run, limits_set, limits_suffice, proc_is_ours,
    ptrace_scope,
};
use crate::scratch::{memory_dir, room_in};

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
    for (kind, found) in REGISTRY.iter().flat_map(|kind| kind.probe()) {
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
    let memfd = memory_file("plugpull-probe");
    let tmp = std::env::temp_dir();
    let scope = ptrace_scope().map_or("no Yama".to_owned(), |scope| {
        format!("kernel.yama.ptrace_scope is {scope}")
    });
    let mut features = vec![
        (
            "memfd",
            memfd.map_or_else(
                |error| Err(error.to_string()),
                |_| ok("the history lives there"),
            ),
        ),
        (
            "ptrace",
            available_traced(&Launcher::binary(), &tmp).map(|()| format!("with seccomp; {scope}")),
        ),
        (
            "/proc",
            proc_is_ours().map_or_else(
                |error| Err(error.to_string()),
                |()| ok("it shows this process"),
            ),
        ),
        ("limits", limits()),
        (
            "commands",
            commands_can_run().map(|shell| format!("{} runs --cmd and --check", shell.display())),
        ),
        ("/dev/shm", memory()),
        ("temporary", temporary()),
        ("root", root()),
        ("io_uring", io_uring()),
    ];
    let of_disks = ["FUSE", "loop devices", "zram"];
    let devices = disk::features().into_iter();
    features.extend(devices.filter(|(name, _)| of_disks.contains(name)));
    let programs = FileSystemKind::ALL.map(|kind| {
        let found = mkfs(kind).map(|path| path.display().to_string());
        (kind.name(), found)
    });
    features.extend(programs);
    features
}

/// A directory in memory: where `syscall` keeps what it copies at every step.
fn memory() -> Feature {
    let advice = "`syscall` is slower without: mount a tmpfs there (`mount -t tmpfs tmpfs /dev/shm`; in a \
                  container: --shm-size=1g), or name one with --dir";
    let dir = memory_dir().map_err(|why| format!("{why}; {advice}"))?;
    let (free, _) = room_in(&dir).map_err(|error| error.to_string())?;
    let free = free >> 20;
    Ok(format!(
        "a tmpfs with {free} MiB free; `syscall` works there"
    ))
}

/// Root of the machine may mount; root of a user namespace has only the name.
fn root() -> Feature {
    if !geteuid().is_root() {
        return Err("no mounts, no devices: only where you are root".to_owned());
    }
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let of_all = ["0", "0", "4294967295"];
    if users.is_empty() || users.split_whitespace().eq(of_all) {
        Ok("mounts and devices are allowed".to_owned())
    } else {
        Err("root of a user namespace only: no disks, no devices; run it outside".to_owned())
    }
}

/// What `ulimit` says, and whether that is enough.
fn limits() -> Feature {
    limits_suffice()?;
    let set = limits_set();
    Ok(if set.is_empty() {
        "none is set".to_owned()
    } else {
        set.join(", ")
    })
}

/// Where stores live while they are tortured, if no directory is named.
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
