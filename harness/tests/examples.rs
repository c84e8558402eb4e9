//! The harness as a stranger uses it: the example's own binary, a correct log and a naive one.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs the `line_log` example, which `cargo test` has built beside this test.
fn line_log(args: &[&str], out: &std::path::Path) -> Output {
    let test = std::env::current_exe().expect("this test has a path");
    let profile: PathBuf = test
        .ancestors()
        .nth(2)
        .expect("target/PROFILE/deps/test")
        .into();
    let mut command = Command::new(profile.join("examples/line_log"));
    command
        .args(args)
        .current_dir(out)
        .output()
        .expect("the example was built")
}

fn summary(output: &Output) -> serde_json::Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().expect("a summary");
    serde_json::from_str::<serde_json::Value>(last).expect("JSON")["summary"].clone()
}

#[test]
fn a_correct_log_survives() {
    let out = tempfile::tempdir().expect("a directory");
    let args = [
        "run", "line-log", "--crash", "kill", "--rounds", "40", "--seed", "7", "--json",
    ];
    let output = line_log(&args, out.path());
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!(summary["rounds"], 40);
    assert_eq!(summary["violations"], 0);
    assert!(summary["acked"].as_u64() > Some(0), "{summary}");
}

#[test]
fn a_log_that_acknowledges_before_it_writes_is_caught_and_the_failure_can_be_checked_again() {
    let out = tempfile::tempdir().expect("a directory");
    let args = [
        "run",
        "naive",
        "--crash",
        "kill",
        "--rounds",
        "200",
        "--seed",
        "7",
        "--json",
        "--out",
        "target/plugpull",
    ];
    let output = line_log(&args, out.path());
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{summary}");
    assert!(summary["violations"].as_u64() > Some(0), "{summary}");

    let failures = std::fs::read_dir(out.path().join("target/plugpull")).expect("saved failures");
    for failure in failures {
        let folder = failure.expect("a folder").path();
        let replayed = line_log(&["replay", &folder.to_string_lossy()], out.path());
        let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert_eq!(replayed.status.code(), Some(1), "{text}");
        assert!(text.contains("lost: entry"), "{text}");
    }
}

#[test]
fn wrong_usage_is_told_apart_from_a_violation() {
    let out = tempfile::tempdir().expect("a directory");
    for (args, complaint) in [
        (
            vec!["run", "no-such-store"],
            "unknown subject 'no-such-store'; known are: line-log, naive",
        ),
        (
            vec!["run", "--crash", "flood"],
            "unknown crash kind 'flood'; known are: kill",
        ),
        (
            vec!["run", "--engine", "steam"],
            "engine 'steam' is not one of every subject's",
        ),
        (
            vec!["run", "--duration", "soon"],
            "'soon' is not a duration",
        ),
        (vec!["replay", "nowhere"], "cannot replay nowhere"),
    ] {
        let output = line_log(&args, out.path());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(complaint), "{args:?}: {stderr}");
    }
}

#[test]
fn a_torture_that_shows_nothing_is_no_pass() {
    let out = tempfile::tempdir().expect("a directory");
    let output = line_log(&["run", "line-log", "--rounds", "0", "--json"], out.path());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(summary(&output)["verdict"], "vacuous");
}
