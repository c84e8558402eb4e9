//! A torture of two commands, in a directory of its own.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A directory for everything that a torture needs and makes.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What came of a torture.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    /// The rows as JSON, and what went to standard error.
    pub(crate) told: String,
}

impl Place {
    /// With the files of `examples/protocol`. Others may enter it.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
        fs::create_dir(dir.path().join("tmp")).expect("new");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/protocol");
        for entry in fs::read_dir(&examples).expect("it is there").flatten() {
            if entry.file_type().expect("known").is_file() {
                let name = dir.path().join(entry.file_name());
                fs::copy(entry.path(), name).expect("copied");
            }
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where a torture that is told so has its temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }

    pub(crate) fn script(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// Any torture binary will do: this is the `line_log` example's, which `cargo test` builds with this test.
    pub(crate) fn command(&self, [writer, checker]: [&str; 2], more: &[&str]) -> Command {
        let test = std::env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let mut command = Command::new(profile.join("examples/line_log"));
        command.args(["run", "--cmd", writer, "--check", checker, "--json"]);
        // For each crash state, one or two interpreters start.
        command.args(["--seed", "1", "--out", "failures", "--calls", "12"]);
        command.args(more);
        // What a program buffers is lost with it, so it has to say a word at once by itself.
        command
            .current_dir(self.path())
            .env_remove("PYTHONUNBUFFERED");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }

    /// Whether a command can be run here.
    pub(crate) fn can_run(&self, command: &str) -> bool {
        let mut shell = Command::new("sh");
        let output = shell
            .args(["-c", command])
            .current_dir(self.path())
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    pub(crate) fn start(&self, commands: [&str; 2], more: &[&str]) -> Child {
        let started = self.command(commands, more).spawn();
        started.expect("the example was built")
    }

    pub(crate) fn run(&self, commands: [&str; 2], more: &[&str]) -> Ended {
        Ended::of(self.start(commands, more))
    }
}

impl Ended {
    /// Waits for the end.
    pub(crate) fn of(torture: Child) -> Self {
        let output = torture.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code(),
            told: text(&output.stdout) + &text(&output.stderr),
        }
    }

    pub(crate) fn passes(&self) {
        assert_eq!(self.status, Some(0), "{}", self.told);
    }

    pub(crate) fn is_violation(&self, complaint: &str) {
        assert_eq!(self.status, Some(1), "{}", self.told);
        assert!(
            self.told.contains(complaint),
            "'{complaint}': {}",
            self.told
        );
    }

    pub(crate) fn is_environment(&self, complaint: &str) {
        assert_eq!(self.status, Some(2), "{}", self.told);
        assert!(
            self.told.contains(complaint),
            "'{complaint}': {}",
            self.told
        );
    }
}

/// Whether this machine has a program. Says that a test is skipped where it has not.
pub(crate) fn has(program: &str, test: &str, package: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .output();
    let is_there = found.is_ok_and(|found| found.status.success());
    if !is_there {
        skipped(test, &format!("no program {program} (Debian: {package})"));
    }
    is_there
}

/// Not by a macro: this is to be seen although the test passes.
pub(crate) fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "{test}: SKIPPED: {why}").expect("stderr is open");
}
