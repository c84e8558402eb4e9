//! Programs that know nothing of the harness but a few words: tiny writers and checkers in shell,
//! correct and broken in each way that a program can be.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plugpull::{BlackBox, CrashKind};

/// What most of these writers share: a log of ids, one a line.
const CHECKER: &str = r#"
    [ -e "$1/log" ] || exit 0
    while read -r id; do echo "survived $id"; done < "$1/log"
"#;

/// It drops what a crash cut in the middle, or its next line would continue that one.
const WRITER: &str = r#"
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
const EARLY_WRITER: &str = r#"
    i=0
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        echo "ack $id"
        echo "$id" >> "$1/log"
        i=$((i + 1))
    done
"#;

/// A torture of two shell scripts, in a directory of its own.
struct Torture {
    dir: tempfile::TempDir,
}

struct Verdict {
    output: Output,
    summary: serde_json::Value,
}

impl Torture {
    fn of(writer: &str, checker: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("writer.sh"), writer).expect("written");
        std::fs::write(dir.path().join("checker.sh"), checker).expect("written");
        Self { dir }
    }

    fn run(&self, crash: &str, more: &[&str]) -> Verdict {
        let mut args = vec!["run", "--cmd", "sh writer.sh {dir}"];
        args.extend(["--check", "sh checker.sh {dir}", "--crash", crash]);
        args.extend([
            "--seed",
            "1",
            "--jobs",
            "1",
            "--json",
            "--out",
            "target/plugpull",
        ]);
        args.extend(more);
        verdict(torture(&args, self.dir.path()))
    }

    fn failures(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.dir.path().join("target/plugpull"));
        let folders = folders.expect("failures were saved");
        folders
            .map(|entry| entry.expect("a folder").path())
            .collect()
    }
}

fn verdict(output: Output) -> Verdict {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or("{}");
    let json: serde_json::Value = serde_json::from_str(last).expect("JSON");
    Verdict {
        summary: json["summary"].clone(),
        output,
    }
}

impl Verdict {
    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn passes(&self) {
        let (stderr, summary) = (self.stderr(), &self.summary);
        assert_eq!(self.output.status.code(), Some(0), "{summary} {stderr}");
        assert_eq!(self.summary["verdict"], "pass", "{}", self.summary);
    }

    fn is_violation(&self, complaint: &str) {
        let stderr = self.stderr();
        assert_eq!(self.output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(complaint), "'{complaint}' in: {stderr}");
    }
}

/// Any torture binary will do: this is the `line_log` example's, which `cargo test` has built beside
/// this test.
fn torture(args: &[&str], dir: &Path) -> Output {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let mut command = Command::new(profile.join("examples/line_log"));
    let output = command.args(args).current_dir(dir).output();
    output.expect("the example was built")
}

/// Processes with these words in their command lines.
fn alive(words: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("there is a /proc");
    let lines =
        processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let line = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
    lines
        .filter(|bytes| line(bytes.clone()).contains(words))
        .count()
}

#[test]
fn a_correct_writer_passes() {
    let torture = Torture::of(WRITER, CHECKER);
    torture.run("kill", &["--rounds", "20"]).passes();
    let verdict = torture.run("syscall", &["--rounds", "3"]);
    verdict.passes();
    assert!(verdict.summary["crash_states"].as_u64() > Some(40));
}

#[test]
fn a_writer_may_announce_on_the_descriptor_and_print_what_it_likes() {
    let writer = format!("exec 8>&1 1>&$PLUGPULL_FD; echo; echo hello >&8\n{WRITER}");
    let torture = Torture::of(&writer, CHECKER);
    torture.run("kill", &["--rounds", "10"]).passes();
    torture.run("syscall", &["--rounds", "1"]).passes();
}

#[test]
fn a_writer_that_acknowledges_before_it_writes_is_caught_and_its_failure_can_be_checked_again() {
    let torture_of = Torture::of(EARLY_WRITER, CHECKER);
    // Each traced run shows it; of the kills, those between two lines.
    let verdict = torture_of.run("syscall", &["--rounds", "1"]);
    verdict.is_violation("lost: entry 'g0-0' was acknowledged and is gone");
    let verdict = torture_of.run("kill", &["--rounds", "200"]);
    verdict.is_violation("was acknowledged and is gone");
    for folder in torture_of.failures() {
        let story = std::fs::read_to_string(folder.join("README.md")).expect("it is told");
        assert!(story.contains("- writer: `sh writer.sh {dir}`"), "{story}");
        assert!(story.contains("    ack g"), "{story}");
        let folder = folder.to_string_lossy();
        let replayed = torture(&["replay", &folder], torture_of.dir.path());
        let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert_eq!(replayed.status.code(), Some(1), "{text}");
        assert_eq!(text.matches("lost: entry").count(), 2, "{text}");
    }
}

/// What was damaged belongs to the failure, so it can be damaged again, and less.
#[test]
fn a_log_without_checksums_serves_what_has_rotted_and_its_failure_can_be_made_small() {
    let torture_of = Torture::of(WRITER, CHECKER);
    let verdict = torture_of.run("rot", &["--rounds", "6"]);
    if String::from_utf8_lossy(&verdict.output.stderr).contains("ptrace") {
        return;
    }
    assert_eq!(
        verdict.output.status.code(),
        Some(1),
        "{:?}",
        verdict.summary
    );
    let folders = torture_of.failures();
    for folder in &folders {
        let story = std::fs::read_to_string(folder.join("README.md")).expect("it is told");
        assert!(story.contains("Then a sector rots: /log, bytes"), "{story}");
        let folder = folder.to_string_lossy();
        let replayed = torture(&["replay", &folder], torture_of.dir.path());
        let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert_eq!(replayed.status.code(), Some(1), "{text}");
        assert!(text.contains("damaged in the same way"), "{text}");
    }
    let folder = folders[0].to_string_lossy();
    let shrunk = torture(&["shrink", &folder], torture_of.dir.path());
    // Standard error is no terminal.
    let said = String::from_utf8_lossy(&shrunk.stderr).into_owned();
    assert!(!said.contains("shrinking"), "{said}");
    let text = String::from_utf8_lossy(&shrunk.stdout).into_owned();
    assert_eq!(shrunk.status.code(), Some(1), "{text}");
    assert!(text.contains("1 damaged sectors and "), "{text}");
}

#[test]
fn it_works_in_a_test_as_well() {
    let scripts = Torture::of(WRITER, CHECKER);
    let at = |script: &str| format!("sh '{}' {{dir}}", scripts.dir.path().join(script).display());
    let store = BlackBox::new(at("writer.sh"), at("checker.sh")).expect("both name the directory");
    for (crash, rounds) in [(CrashKind::Kill, 24), (CrashKind::Syscall, 1)] {
        let torture = plugpull::Torture::new(store.clone()).crash([crash]).seed(1);
        torture.rounds(rounds).jobs(1).run().unwrap();
    }
}

#[test]
fn a_broken_program_is_a_clear_verdict() {
    let hello = "echo 'attempt a'; echo hello; while :; do sleep 1; done";
    let dying = "echo 'attempt a'; echo 'out of luck' >&2; exit 3";
    let crashing = "echo 'attempt a'; kill -SEGV $$";
    let inventing = format!("{CHECKER}\necho survived x");
    let of_itself = "exit status: 3: out of luck";
    for (writer, checker, complaint) in [
        (hello, CHECKER, "line 2, 'hello', is neither 'attempt ID"),
        (dying, CHECKER, of_itself),
        (
            crashing,
            CHECKER,
            "the writer stopped by itself: signal: 11",
        ),
        (
            WRITER,
            "echo all is well",
            "line 1, 'all is well', is not 'survived ID",
        ),
        (
            WRITER,
            "echo 'cannot open' >&2; exit 7",
            "the checker failed: exit status: 7: cannot open",
        ),
        (WRITER, &inventing, "phantom: entry 'x' at position"),
    ] {
        for crash in ["kill", "syscall"] {
            let torture = Torture::of(writer, checker);
            torture
                // A kill may come before the first word. A second one is not waited for for ever.
                .run(crash, &["--rounds", "6", "--hang-limit", "5s"])
                .is_violation(complaint);
        }
    }
}

#[test]
fn a_program_that_hangs_is_a_clear_verdict() {
    for (number, crash) in [(1, "kill"), (2, "syscall")] {
        // Told from every other process by the odd time that it sleeps.
        let sleep = format!("sleep 98765{number}.25");
        let limit = ["--rounds", "2", "--hang-limit", "1s"];
        // It hangs at once, and after a few calls.
        for writer in [sleep.clone(), format!("touch \"$1/begun\"; {sleep}")] {
            Torture::of(&writer, CHECKER)
                .run(crash, &limit)
                .is_violation("the writer hangs");
        }
        Torture::of(WRITER, &sleep)
            .run(crash, &limit)
            .is_violation("the checker failed: no end after 1s");
        assert_eq!(alive(&sleep), 0);
    }
}

#[test]
fn nothing_that_a_program_starts_outlives_it() {
    for (number, crash) in [(3, "kill"), (4, "syscall")] {
        let sleep = format!("sleep 98765{number}.25");
        // In the writer's process group, and in one of its own.
        let writer = format!("{sleep} & setsid {sleep} &\n{WRITER}");
        Torture::of(&writer, CHECKER)
            // One of the kills has to hit an append.
            .run(crash, &["--rounds", "8"])
            .passes();
        assert_eq!(alive(&sleep), 0, "after a kill");

        let leaving = format!("setsid {sleep} &");
        let torture = Torture::of(WRITER, &leaving);
        let verdict = torture.run(crash, &["--rounds", "1"]);
        verdict.is_violation("left 1 of its processes running");
        let torture = Torture::of(&leaving, CHECKER);
        let verdict = torture.run(crash, &["--rounds", "1"]);
        verdict.is_violation("left 1 of its processes running");
        assert_eq!(alive(&sleep), 0, "after an end");
    }
}

#[test]
fn wrong_usage_is_told_apart_from_a_violation() {
    let dir = tempfile::tempdir().expect("a directory");
    for (args, complaint) in [
        (vec!["--cmd", "w {dir}"], "--check"),
        (
            vec!["--cmd", "w", "--check", "c {dir}"],
            "--cmd 'w' does not say where the store is",
        ),
        (
            vec!["--cmd", "w {dir}", "--check", "c {dir}", "--setup", "s"],
            "--setup 's' does not say where the store is",
        ),
        (vec!["--setup", "s {dir}"], "--cmd <CMD>"),
        (
            vec!["--cmd", "no-such-program {dir}", "--check", "c {dir}"],
            "could not start the command",
        ),
    ] {
        let args = [vec!["run", "--rounds", "1", "--crash", "kill"], args].concat();
        let output = torture(&args, dir.path());
        let [told, table] =
            [&output.stderr, &output.stdout].map(|said| String::from_utf8_lossy(said));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told} {table}");
        let is_there = told.contains(complaint) || table.contains(complaint);
        assert!(is_there, "{args:?}: {told} {table}");
    }
}

/// What another command has to make first.
const NEEDS_MADE: &str = r#"[ -e "$1/made" ] || exit 7"#;

fn torture_that_needs_made(setup: &str) -> Torture {
    let [writer, checker] = [WRITER, CHECKER].map(|script| format!("{NEEDS_MADE}\n{script}"));
    let torture = Torture::of(&writer, &checker);
    std::fs::write(torture.dir.path().join("setup.sh"), setup).expect("written");
    torture
}

const SETUP: [&str; 2] = ["--setup", "sh setup.sh {dir}"];

#[test]
fn a_setup_makes_what_each_directory_begins_with() {
    let torture = torture_that_needs_made(r#"touch "$1/made""#);
    for (crash, rounds) in [("kill", "8"), ("syscall", "2")] {
        let rounds = ["--rounds", rounds];
        let without = torture.run(crash, &rounds);
        without.is_violation("broken: the writer stopped by itself: exit status: 7");
        torture.run(crash, &[rounds, SETUP].concat()).passes();
    }
    let given = torture.dir.path().join("given");
    std::fs::create_dir(&given).expect("created");
    std::fs::write(given.join("made"), "").expect("written");
    let image = ["--image", "given", "--rounds", "8"];
    torture.run("kill", &image).passes();
}

/// The log is not synced; what the setup left is durable, and begins the lives that are done again.
#[test]
fn a_failure_behind_a_setup_is_replayed_and_shrunk() {
    let torture = torture_that_needs_made(r#"touch "$1/made""#);
    let run = torture.run("power", &[&SETUP[..], &["--rounds", "2"]].concat());
    run.is_violation("lost: ");
    let failure = &torture.failures()[0];
    let readme = std::fs::read_to_string(failure.join("README.md")).expect("it is told");
    for told in ["setup: `sh setup.sh {dir}`", "begins with a prepared store"] {
        assert!(readme.contains(told), "{readme}");
    }
    assert!(failure.join("image/made").exists());
    let folder = failure.to_string_lossy();
    for command in ["replay", "shrink"] {
        let output = self::torture(&[command, &folder], torture.dir.path());
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
    }
}

#[test]
fn a_setup_that_fails_is_told_and_blames_no_store() {
    for (setup, why) in [
        (
            "echo no room >&2; exit 3",
            "the store cannot be prepared: exit status: 3: no room",
        ),
        (
            "sleep 100 &",
            "the store cannot be prepared: it left processes running",
        ),
        (
            "touch $1/other",
            "the prepared store cannot be tortured: before any crash",
        ),
    ] {
        let run =
            torture_that_needs_made(setup).run("kill", &[&SETUP[..], &["--rounds", "1"]].concat());
        assert_eq!(run.output.status.code(), Some(2), "{}", run.stderr());
        assert_eq!(run.summary["violations"], 0, "{}", run.summary);
        let told = run.summary["environment"].to_string();
        assert!(told.contains(why), "{told}");
    }
}

/// `PRAGMA synchronous=OFF` and a kill lose nothing: what the program had handed to the kernel is in
/// the page cache, which a kill does not touch.
#[test]
fn sqlite_passes_with_and_without_its_syncs() {
    let found = Command::new("sqlite3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        // Not by a macro: this is to be seen although the test passes.
        writeln!(
            std::io::stderr(),
            "sqlite_passes_with_and_without_its_syncs: SKIPPED, there is no sqlite3 here (Debian: \
             apt-get install sqlite3)"
        )
        .expect("stderr is open");
        return;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/blackbox");
    let out = tempfile::tempdir().expect("a directory");
    let out = out.path().to_string_lossy();
    for (synchronous, crash, rounds) in [
        ("FULL", "kill", "8"),
        ("OFF", "kill", "8"),
        ("FULL", "syscall", "8"),
    ] {
        let writer = format!("./sqlite_writer.sh {{dir}} {synchronous}");
        let args = [
            "run",
            "--cmd",
            &writer,
            "--check",
            "./sqlite_checker.sh {dir}",
            "--crash",
            crash,
            "--rounds",
            rounds,
            "--seed",
            "1",
            "--json",
            "--out",
            &out,
        ];
        verdict(torture(&args, &scripts)).passes();
    }
}
