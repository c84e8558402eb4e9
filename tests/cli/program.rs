//! The program run with arguments, what came of it, and logs for it to look at.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use groupwal::{EngineKind, Options, Wal};

use crate::support::tiny::{self, ready};

/// The program with these arguments.
pub(crate) fn groupwal(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groupwal"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The program with these arguments, under a limit that `ulimit` sets.
pub(crate) fn limited(ulimit: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit {ulimit}; exec \"$@\""));
    command.arg("sh").arg(env!("CARGO_BIN_EXE_groupwal"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Whether the program can be certain here that a log is not in use: found out in another way than it does.
pub(crate) fn owners_are_known(dir: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::statfs::{
            BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
            XFS_SUPER_MAGIC, statfs,
        };
        let local = [
            BTRFS_SUPER_MAGIC,
            EXT4_SUPER_MAGIC,
            OVERLAYFS_SUPER_MAGIC,
            TMPFS_MAGIC,
            XFS_SUPER_MAGIC,
        ];
        let namespace = std::fs::read_link("/proc/self/ns/pid");
        let file_system = statfs(dir).map(|about| about.filesystem_type());
        namespace.is_ok_and(|link| link == Path::new("pid:[4026531836]"))
            && file_system.is_ok_and(|of| local.contains(&of))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// What it said, and how it ended.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Ran {
    ran(&groupwal(arguments).output().expect("the program starts"))
}

pub(crate) fn ran(output: &Output) -> Ran {
    Ran {
        status: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout.clone()).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr.clone()).expect("UTF-8"),
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends(self, status: i32) -> Self {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        assert_eq!(self.status, status, "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("one JSON object")
    }

    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// A log with small segments.
pub(crate) fn open(path: &Path) -> Wal {
    let options = tiny::options().engine(EngineKind::Inline);
    ready(Wal::open(path, options)).expect("it opens")
}

pub(crate) fn options() -> Options {
    tiny::options()
}
