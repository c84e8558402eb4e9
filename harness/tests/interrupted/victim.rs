//! A torture under way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::wait_until;

/// A log of ids, one a line, in shell.
pub(crate) const WRITER: &str = r#"
    log="$1/log"
    if [ -e "$log" ]; then
        while read -r id; do echo "$id"; done < "$log" > "$log.new"
        mv "$log.new" "$log"
    fi
    i=0
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        echo "$id" >> "$log"
        echo "ack $id"
        i=$((i + 1))
    done
"#;

/// The same, but it announces too early.
pub(crate) const EARLY_WRITER: &str = r#"
    i=0
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        echo "ack $id"
        echo "$id" >> "$1/log"
        i=$((i + 1))
    done
"#;

pub(crate) const CHECKER: &str = r#"
    [ -e "$1/log" ] || exit 0
    while read -r id; do echo "survived $id"; done < "$1/log"
"#;

/// A directory of its own for everything that a torture makes.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("plugpull-victim-")
            .tempdir();
        let dir = dir.expect("a directory");
        fs::create_dir(dir.path().join("scratch")).expect("a new directory");
        Self { dir }
    }

    /// With the scripts of a writer and a checker.
    pub(crate) fn with_scripts(writer: &str, checker: &str) -> Self {
        let place = Self::new();
        fs::write(place.path().join("writer.sh"), writer).expect("written");
        fs::write(place.path().join("checker.sh"), checker).expect("written");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where stores are tortured.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path().join("scratch")
    }

    pub(crate) fn failures(&self) -> PathBuf {
        self.path().join("failures")
    }

    /// A torture that works here.
    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path());
        // Also in memory, where all tortures work.
        command.env("TMPDIR", self.scratch());
        command
    }

    /// The arguments of a torture by commands.
    pub(crate) fn scripts(crash: &str) -> Vec<&str> {
        let mut args = vec!["run", "--cmd", "sh writer.sh {dir}"];
        args.extend(["--check", "sh checker.sh {dir}", "--crash", crash]);
        args.extend(["--seed", "1", "--jobs", "1", "--out", "failures"]);
        args
    }

    pub(crate) fn start(&self, program: &Path, args: &[&str]) -> Victim {
        let file = |name: &str| File::create(self.path().join(name)).expect("a file");
        let mut command = self.command(program, args);
        command.stdout(file("stdout")).stderr(file("stderr"));
        Victim {
            child: command.spawn().expect("the example was built"),
            place: self.path().to_owned(),
        }
    }

    /// Processes that were started for a torture here.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = self.path().to_str().expect("ASCII").to_owned();
        let processes = fs::read_dir("/proc").expect("there is a /proc");
        let of_ours = processes.filter_map(|entry| {
            let path = entry.ok()?.path();
            let environment = fs::read(path.join("environ")).ok()?;
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            environment.contains(&mark).then_some(line)
        });
        of_ours.collect()
    }

    /// Nothing of a torture is left: no process, no directory, no mount.
    pub(crate) fn is_clean(&self) {
        self.no_process();
        let left: Vec<_> = fs::read_dir(self.scratch()).expect("readable").collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// No process and no mount is left.
    pub(crate) fn no_process(&self) {
        wait_until("its processes are gone", || self.processes().is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
        let name = self.path().file_name().expect("named").to_str();
        assert!(!mounts.contains(name.expect("ASCII")), "{mounts}");
    }
}

/// A torture that runs. Killed when dropped.
pub(crate) struct Victim {
    child: Child,
    place: PathBuf,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Victim {
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.place.join("stderr")).expect("it was made")
    }

    pub(crate) fn send(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// It has ended already.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    pub(crate) fn end(mut self) -> Ended {
        wait_until("it ends", || self.is_over());
        let status = self.child.wait().expect("it is our child");
        Ended {
            status: status.code(),
            stdout: fs::read_to_string(self.place.join("stdout")).expect("it was made"),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An example of this package, which `cargo test` has built with this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    profile.join("examples").join(name)
}

/// The last line of what `run --json` printed.
pub(crate) fn summary(ended: &Ended) -> serde_json::Value {
    let last = ended.stdout.lines().last().unwrap_or("{}");
    let json: serde_json::Value = serde_json::from_str(last).expect("JSON");
    json["summary"].clone()
}
