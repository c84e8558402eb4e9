//! Other programs that a random program starts.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

pub(super) const SCRIPTS: [&str; 6] = [
    "echo text",
    "echo one >>a; echo two >b; mv b c",
    "(echo one; echo two) & echo three; wait",
    "echo x >/dev/stdout",
    "ln a other/b; rm a; echo y >>other/b",
    // A file may be gigabytes of nothing.
    "head -c 9000 a",
];

/// Lets a shell do it, which has the position of an open file in common with this program.
pub(super) fn run(script: &str, file: File) -> io::Result<()> {
    // Nothing may wait for the other end of a FIFO that has one of these names.
    let script = format!("for n in a b c other/b; do [ ! -p $n ] || exit; done; {script}");
    let mut child = Command::new("timeout");
    let args = ["--signal=KILL", "10", "sh", "-c", &script];
    child.args(args).stdin(Stdio::null());
    child.stdout(file).stderr(Stdio::null()).status().map(drop)
}
