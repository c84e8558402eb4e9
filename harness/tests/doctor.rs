//! A machine that forbids something, as a stranger's container may: what cannot run is told, what can
//! is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;

/// Runs the `line_log` example, which `cargo test` has built beside this test, where these system
/// calls are forbidden.
fn line_log(args: &[&str], forbidden: &[libc::c_long], out: &Path) -> Output {
    let test = std::env::current_exe().expect("this test has a path");
    let profile: PathBuf = test
        .ancestors()
        .nth(2)
        .expect("target/PROFILE/deps/test")
        .into();
    let mut command = Command::new(profile.join("examples/line_log"));
    command.args(args).current_dir(out);
    // On a thread of its own: a filter stays with the thread, and goes on to what it starts.
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            if !forbidden.is_empty() {
                seccompiler::apply_filter(&forbid(forbidden)).expect("a filter is allowed here");
            }
            command.output().expect("the example was built")
        });
        run.join().expect("no panic")
    })
}

fn forbid(calls: &[libc::c_long]) -> BpfProgram {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, vec![])).collect();
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).expect("small"));
    let arch = std::env::consts::ARCH.try_into().expect("known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    filter.expect("well-formed").try_into().expect("small")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| serde_json::from_str(line).expect("JSON");
    stdout.lines().map(parse).collect()
}

const PTRACE: &[libc::c_long] = &[libc::SYS_ptrace];
const SECCOMP: &[libc::c_long] = &[libc::SYS_seccomp];

const ALL: [&str; 7] = ["run", "line-log", "--rounds", "12", "--seed", "1", "--json"];

#[test]
fn what_is_unavailable_is_told_and_the_rest_is_run() {
    for forbidden in [PTRACE, SECCOMP] {
        let out = tempfile::tempdir().expect("a directory");
        let output = line_log(&ALL, forbidden, out.path());
        let lines = lines(&output);
        assert_eq!(output.status.code(), Some(0), "{lines:?}");
        let (last, rows) = lines.split_last().expect("a summary");
        let row = |kind: &str| rows.iter().find(|row| row["crash"] == kind).expect("a row");
        let (kill, syscall) = (row("kill"), row("syscall"));
        assert_eq!(kill["rounds"], 12);
        assert_eq!(kill["unavailable"], Value::Null);
        assert_eq!(syscall["rounds"], 0);
        let why = |row: &Value| row["unavailable"].as_str().map(str::to_owned);
        let no_seam = why(row("rot")).expect("it is told why");
        assert!(no_seam.contains("Subject::simulated"), "{no_seam}");
        // The store has no seam, so these are traced as well.
        for kind in ["power", "fault"] {
            assert_eq!(row(kind)["recorder"], "trace");
            let untraced = why(row(kind)).expect("it is told why");
            assert!(untraced.contains("ptrace or seccomp is forbidden"));
        }
        let why = why(syscall).expect("it is told why");
        assert!(why.contains("ptrace or seccomp is forbidden"), "{why}");
        assert_eq!(last["summary"]["unavailable"]["syscall"], why);
        assert_eq!(last["summary"]["verdict"], "pass");
    }
}

#[test]
fn the_table_says_what_is_unavailable() {
    let out = tempfile::tempdir().expect("a directory");
    let output = line_log(&ALL[..6], PTRACE, out.path());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let mut rows = text.lines().filter(|line| line.contains("┆ syscall"));
    assert!(rows.all(|row| row.contains("unavailable")), "{text}");
    assert!(
        text.contains("syscall is unavailable: cannot attach"),
        "{text}"
    );
}

#[test]
fn what_is_unavailable_and_asked_for_by_name_is_an_error() {
    let out = tempfile::tempdir().expect("a directory");
    let args = [&ALL[..], &["--crash", "kill,syscall"]].concat();
    let output = line_log(&args, PTRACE, out.path());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("crash kind 'syscall' is unavailable"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty(), "nothing was run");
}

#[test]
fn the_doctor_tells_what_works_and_how_to_get_the_rest() {
    let out = tempfile::tempdir().expect("a directory");
    let well = line_log(&["doctor"], &[], out.path());
    let text = String::from_utf8_lossy(&well.stdout).into_owned();
    assert_eq!(well.status.code(), Some(0), "{text}");
    assert!(text.contains("syscall    works"), "{text}");

    let ill = line_log(&["doctor"], PTRACE, out.path());
    let text = String::from_utf8_lossy(&ill.stdout).into_owned();
    assert_eq!(ill.status.code(), Some(2), "{text}");
    assert!(text.contains("kill       works"), "{text}");
    assert!(text.contains("syscall    UNAVAILABLE"), "{text}");
    assert!(text.contains("SYS_PTRACE"), "{text}");
}

#[test]
fn completions_know_the_subjects_and_the_crash_kinds() {
    let out = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let output = line_log(&["completions", shell], &[], out.path());
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0));
        // fish completes options only.
        let subject = if shell == "fish" { "line_log" } else { "naive" };
        for word in ["line_log", subject, "syscall", "doctor", "hang-limit"] {
            assert!(script.contains(word), "no {word} in the script for {shell}");
        }
    }
}
