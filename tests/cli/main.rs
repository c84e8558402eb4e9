//! The program `groupwal` as its users meet it.

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod crash;
mod damaged;
mod imported;
mod looking;
mod muop;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use groupwal::{EngineKind, Options, Wal};
use support::tiny::ready;

/// The program with these arguments.
fn groupwal(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groupwal"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What it said, and how it ended.
struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Ran {
    ran(&groupwal(arguments).output().expect("the program starts"))
}

fn ran(output: &Output) -> Ran {
    Ran {
        status: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout.clone()).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr.clone()).expect("UTF-8"),
    }
}

impl Ran {
    #[track_caller]
    fn ends(self, status: i32) -> Self {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        assert_eq!(self.status, status, "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("one JSON object")
    }

    fn json_lines(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// A log with small segments.
fn open(path: &Path) -> Wal {
    let options = support::tiny::options().engine(EngineKind::Inline);
    ready(Wal::open(path, options)).expect("it opens")
}

fn options() -> Options {
    support::tiny::options()
}
