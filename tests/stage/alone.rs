//! Tests that change what belongs to the whole process, or need a process with special rights.

use std::io::Write;
use std::process::{Command, Stdio};

const INSIDE: &str = "GROUPWAL_TEST_ALONE";

/// Runs the calling test once more, in a process of its own that `wrapper` starts: `true` there, and `false`
/// in the first process once the second has passed.
///
/// # Panics
/// If the test fails there; its output is shown.
pub fn alone(wrapper: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
        None => Command::new(this),
    };
    let output = command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} under {wrapper:?}: {}\n{said}\n{cried}",
        output.status
    );
    false
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says that a test is not run, and why: also where the output of tests that pass is not shown.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    drop(writeln!(std::io::stderr(), "SKIPPED {test}: {why}"));
}
