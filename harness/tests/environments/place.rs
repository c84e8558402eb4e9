//! A machine, and a small torture on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use tempfile::TempDir;

/// Far beyond what a small torture takes.
const DEADLINE: Duration = Duration::from_secs(300);

const WRITER: &str = "i=100000; while :; do id=$PLUGPULL_GENERATION-$i; echo attempt $id; \
                      echo > $1/$id; echo ack $id; i=$((i + 1)); done";
const CHECKER: &str = "for name in $(ls $1); do echo survived $name; done";

/// What is tortured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// By `kill`, `syscall` and `power`.
    Subject,
    /// Two commands, by `kill` and `syscall`.
    Commands,
}

/// What is to come of a torture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// Nothing is missing, nothing fails, and each kind whose work does not depend on time shows something.
    Works,
    /// Status 2, and these words; `doctor` has the words after it as well.
    Told(&'a [&'a str]),
}

/// A machine: the command that enters it, before the program and its arguments.
pub(crate) struct Place {
    name: &'static str,
    enter: Vec<String>,
    more: Vec<String>,
    store: Store,
    kinds: Option<&'static str>,
    program: PathBuf,
    dir: TempDir,
}

impl Place {
    /// Entered by this command.
    pub(crate) fn new(name: &'static str, enter: &[&str]) -> Self {
        let test = std::env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let dir = tempfile::tempdir().expect("a directory");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), all).expect("ours");
        for (name, script) in [("writer.sh", WRITER), ("checker.sh", CHECKER)] {
            std::fs::write(dir.path().join(name), script).expect("written");
        }
        Self {
            name,
            enter: enter.iter().map(|&word| word.to_owned()).collect(),
            more: Vec::new(),
            store: Store::Subject,
            kinds: None,
            program: profile.join("examples/sim_store"),
            dir,
        }
    }

    /// Entered by a shell in a mount namespace of its own, which prepares it. `$1` is a directory to mount on.
    pub(crate) fn mounts(name: &'static str, prepare: &str) -> Self {
        let script = format!("set -e; mkdir -p \"$1/at\"; {prepare}; shift; exec \"$@\"");
        let mut place = Self::new(name, &["unshare", "-m", "sh", "-c", &script, "sh"]);
        let at = place.dir.path().to_string_lossy().into_owned();
        place.enter.push(at);
        place
    }

    /// Entered by a shell, which prepares it.
    pub(crate) fn shell(name: &'static str, prepare: &str) -> Self {
        let script = format!("{prepare}; exec \"$@\"");
        Self::new(name, &["sh", "-c", &script, "sh"])
    }

    pub(crate) fn torturing(self, store: Store) -> Self {
        Self { store, ..self }
    }

    pub(crate) fn by(self, kinds: &'static str) -> Self {
        let kinds = Some(kinds);
        Self { kinds, ..self }
    }

    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.more = more.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The program, as it is called there.
    pub(crate) fn at(self, program: &str) -> Self {
        let program = program.into();
        Self { program, ..self }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn enter_by(&mut self, enter: &[&str]) {
        self.enter = enter.iter().map(|&word| word.to_owned()).collect();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut words = self
            .enter
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&std::ffi::OsStr>>();
        words.push(self.program.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(args);
        command.current_dir(self.dir.path()).env_remove("TMPDIR");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {command:?}: {error}", self.name));
        ends(child, self.name)
    }

    /// Whether it can be entered here.
    pub(crate) fn is_there(&self) -> bool {
        let mut command = self.command(&["--version"]);
        let output = command.stdin(Stdio::null()).output();
        let why = match output {
            Ok(output) if output.status.success() => return true,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: {}: {why}", self.name);
        false
    }

    fn torture(&self) -> Output {
        let rounds = [
            "--rounds",
            "3",
            "--seed",
            "1",
            "--jobs",
            "2",
            "--hang-limit",
            "20s",
        ];
        let mut args: Vec<&str> = vec!["run"];
        let mut kinds = "kill,syscall,power";
        match self.store {
            Store::Subject => args.push("sim-store"),
            Store::Commands => {
                let cmd = "sh writer.sh {dir}";
                let check = "sh checker.sh {dir}";
                args.extend(["--cmd", cmd, "--check", check]);
                kinds = "kill,syscall";
            }
        }
        args.extend(["--json", "--crash", self.kinds.unwrap_or(kinds)]);
        args.extend(rounds);
        args.extend(self.more.iter().map(String::as_str));
        self.run(&args)
    }

    /// Tortures the store there, and asks the doctor. `words` are the doctor's.
    pub(crate) fn comes_to(&self, outcome: Outcome<'_>, words: &[&str]) {
        if self.is_there() {
            self.shows(outcome);
            // It makes file systems, which takes a while.
            if !words.is_empty() {
                self.is_explained(words);
            }
        }
    }

    /// The same of both stores.
    pub(crate) fn comes_to_for_both(self, outcome: Outcome<'_>, words: &[&str]) {
        self.comes_to(outcome, words);
        let commands = self.torturing(Store::Commands);
        if commands.is_there() {
            commands.shows(outcome);
        }
    }

    fn shows(&self, outcome: Outcome<'_>) {
        let run = self.torture();
        let (stdout, stderr) = texts(&run);
        let status = run.status.code();
        let error = stderr.lines().find(|line| line.starts_with("error"));
        let (name, store) = (self.name, self.store);
        let said = error.unwrap_or_default();
        eprintln!("{name:<36} {store:?}: status {status:?} {said}");
        let all = format!("{name}, {store:?}: {status:?} {stdout} {stderr}");
        assert!(!all.contains("panicked"), "{all}");
        assert!(matches!(status, Some(0 | 2)), "{all}");
        match outcome {
            Outcome::Works => {
                assert_eq!(error, None, "{all}");
                assert_eq!(shown(&stdout), Ok(()), "{all}");
            }
            Outcome::Told(words) => {
                assert_eq!(status, Some(2), "{all}");
                let is_said = |word: &str| stderr.contains(word) || stdout.contains(word);
                let missing = words.iter().find(|&&word| !is_said(word));
                assert_eq!(missing, None, "{all}");
            }
        }
    }

    fn is_explained(&self, words: &[&str]) {
        let doctor = self.run(&["doctor"]);
        let (told, complaint) = texts(&doctor);
        let all = format!("{}, doctor: {told} {complaint}", self.name);
        assert!(!all.contains("panicked"), "{all}");
        assert!(matches!(doctor.status.code(), Some(0 | 2)), "{all}");
        let missing = words.iter().find(|&&word| !told.contains(word));
        assert_eq!(missing, None, "{all}");
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Whether all rows were done, and have shown something. A writer that is killed by the clock, on a
/// machine that is busy, may not have said a word.
fn shown(stdout: &str) -> Result<(), String> {
    let lines = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let rows: Vec<serde_json::Value> = lines.collect();
    let mut kinds = 0;
    for row in rows.iter().filter(|row| row["crash"].is_string()) {
        let is_done =
            row["error"].is_null() && row["unavailable"].is_null() && row["violations"] == 0;
        let by_clock = row["crash"] == "kill";
        let is_shown = |count: &str| by_clock || row[count].as_u64() > Some(0);
        if !is_done || !is_shown("acked") || !is_shown("crash_states") {
            return Err(row.to_string());
        }
        kinds += 1;
    }
    if kinds == 0 {
        Err("no row".to_owned())
    } else {
        Ok(())
    }
}

/// Waits for the end of a child, which must come.
fn ends(mut child: Child, name: &str) -> Output {
    let began = Instant::now();
    while child.try_wait().expect("ours").is_none() {
        if began.elapsed() > DEADLINE {
            child.kill().expect("ours");
            let output = child.wait_with_output().expect("it was killed");
            panic!("{name}: no end: {:?}", texts(&output));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it has ended")
}

/// Whether this test is run by root, who may make machines.
pub(crate) fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can make these machines");
    }
    is_root
}
