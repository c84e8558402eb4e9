//! Which processes keep a mounted file system busy, and the end of those that are ours.
//!
//! A store may leave a process that has a file open there, or works there. Such a process is ended only
//! if it certainly belongs to this run: it is a descendant of this process, or the order that it was started
//! with names the mount. All others are only named.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::identity::ORDER_VARIABLE;

/// A process that uses a mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    process: Pid,
    name: String,
    /// What it uses, as `/proc` has it.
    by: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process.as_raw_nonzero();
        write!(f, "process {process} ({}) by its {}", self.name, self.by)
    }
}

/// The processes that use a mounted file system, known by its device number, apart from mounts of their own.
pub(super) fn holders(device: u64, dir: &Path) -> Vec<Holder> {
    holders_by(|process| use_of(process, device, dir))
}

/// The processes in whose mount namespaces a file system is still mounted, once it is unmounted in ours.
pub(super) fn holders_elsewhere(device: u64) -> Vec<Holder> {
    let number = format!("{}:{}", major(device), minor(device));
    holders_by(|process| {
        let mounts = fs::read_to_string(proc(process, "mountinfo")).ok()?;
        // `id parent major:minor ..`
        let mut numbers = mounts.lines().filter_map(|line| line.split(' ').nth(2));
        numbers
            .any(|other| other == number)
            .then(|| "mount namespace".to_owned())
    })
}

fn holders_by(used: impl Fn(Pid) -> Option<String>) -> Vec<Holder> {
    let mut found = Vec::new();
    for process in processes() {
        if let Some(by) = used(process) {
            let name = fs::read_to_string(proc(process, "comm")).unwrap_or_default();
            found.push(Holder {
                process,
                name: name.trim().to_owned(),
                by,
            });
        }
    }
    found
}

/// Kills those that belong to this run.
pub(super) fn end_ours(holders: &[Holder], dir: &Path) {
    for holder in holders {
        end_if_ours(holder.process, dir);
    }
}

fn end_if_ours(process: Pid, dir: &Path) {
    // Taken first: whatever the id stands for by now, what is looked at is what is killed.
    let Ok(handle) = pidfd_open(process, PidfdFlags::empty()) else {
        return;
    };
    let is_this = process == rustix::process::getpid();
    if !is_this && (is_descendant(process) || has_order_about(process, dir)) {
        // It may have ended since.
        pidfd_send_signal(&handle, Signal::KILL).ok();
    }
}

/// By what a process uses a device, if it does.
fn use_of(process: Pid, device: u64, dir: &Path) -> Option<String> {
    let is_there = |link: &Path| fs::metadata(link).is_ok_and(|found| found.dev() == device);
    for what in ["cwd", "root", "exe"] {
        if is_there(&proc(process, what)) {
            return Some(what.to_owned());
        }
    }
    let descriptors = fs::read_dir(proc(process, "fd")).into_iter().flatten();
    for descriptor in descriptors.flatten() {
        if is_there(&descriptor.path()) {
            return Some(format!("descriptor {}", descriptor.file_name().display()));
        }
    }
    let maps = fs::read_to_string(proc(process, "maps")).unwrap_or_default();
    let below = |path: &str| Path::new(path).starts_with(dir);
    // `range mode offset device inode    path`
    let mapped = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    mapped.into_iter().any(below).then(|| "mapping".to_owned())
}

/// Whether this process, or one that it has started, has started it.
fn is_descendant(process: Pid) -> bool {
    let me = rustix::process::getpid();
    let (mut at, mut seen) = (process, HashSet::new());
    while seen.insert(at) {
        let Some(parent) = parent(at) else {
            return false;
        };
        if parent == me {
            return true;
        }
        at = parent;
    }
    false
}

/// Whether it was started with an order that names a path at or below `dir`, which only this run has
/// mounted.
fn has_order_about(process: Pid, dir: &Path) -> bool {
    let environment = fs::read(proc(process, "environ")).unwrap_or_default();
    let order = format!("{ORDER_VARIABLE}=").into_bytes();
    let dir = dir.as_os_str().as_bytes();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|variable| {
        variable.starts_with(&order) && variable.windows(dir.len()).any(|part| part == dir)
    })
}

fn parent(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(proc(process, "stat")).ok()?;
    // Behind the name, which may hold anything: the state and the parent.
    let (_, fields) = stat.rsplit_once(')')?;
    Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn proc(process: Pid, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{what}", process.as_raw_nonzero()))
}
