//! What the machine or the harness fails at is no fault of the store: the row says so, and the others
//! are done.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull::{BlackBox, CrashKind, Failure, Torture};

use super::victim::{CHECKER, EARLY_WRITER, Ended, Place, WRITER, example, summary};
use super::wait::wait_until;

/// A checker that cannot be started in the row of `kill`, whose directory is not in memory.
const HALF_A_CHECKER: &str = r#"
    case "$1" in /dev/shm/*) ;; *) exit 127 ;; esac
"#;

fn two_rows(test: &str, writer: &str) -> Option<(Place, Ended)> {
    if !Path::new("/dev/shm").is_dir() {
        eprintln!("{test}: skipped: there is no /dev/shm");
        return None;
    }
    let place = Place::with_scripts(writer, &format!("{HALF_A_CHECKER}{CHECKER}"));
    let args = [
        Place::scripts("kill,syscall"),
        vec!["--rounds", "1", "--json"],
    ]
    .concat();
    let ended = place.start(&example("line_log"), &args).end();
    Some((place, ended))
}

/// The rows that were printed.
fn rows(ended: &Ended) -> Vec<serde_json::Value> {
    let lines = ended.stdout.lines();
    let json = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    json.filter(|line| line["crash"].is_string()).collect()
}

#[test]
fn an_error_in_one_row_leaves_the_others_to_be_done() {
    let Some((place, ended)) = two_rows("an error in one row", WRITER) else {
        return;
    };
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let rows = rows(&ended);
    let [kill, syscall] = &rows[..] else {
        panic!("two rows: {rows:?}");
    };
    let why = kill["error"].as_str().expect("the row says why");
    assert!(why.contains("could not start the command"), "{why}");
    assert_eq!(kill["violations"], 0);
    assert!(
        syscall["error"].is_null() && syscall["crash_states"].as_u64() > Some(10),
        "{syscall}"
    );
    let summary = summary(&ended);
    assert_eq!(summary["verdict"], "environment", "{summary}");
    assert_eq!(summary["environment"]["black-box, kill"], why, "{summary}");
    place.is_clean();
}

#[test]
fn a_violation_in_another_row_counts_more_than_the_error() {
    let Some((_, ended)) = two_rows("a violation and an error", EARLY_WRITER) else {
        return;
    };
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(summary(&ended)["verdict"], "violation");
    assert!(rows(&ended)[0]["error"].is_string(), "{ended:?}");
}

#[test]
fn a_merged_report_keeps_the_error_of_a_shard() {
    let Some((place, _)) = two_rows("a merged report", WRITER) else {
        return;
    };
    for shard in ["1/2", "2/2"] {
        let mut args = Place::scripts("kill,syscall");
        args.extend(["--rounds", "2", "--json", "--shard", shard]);
        let ended = place.start(&example("line_log"), &args).end();
        std::fs::write(place.path().join(&shard[..1]), ended.stdout).expect("written");
    }
    let ended = place
        .start(&example("line_log"), &["merge", "1", "2"])
        .end();
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("black-box, kill: ENVIRONMENT: the shell"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("Not everything could be done"),
        "{ended:?}"
    );
}

#[test]
fn without_a_shell_nothing_is_blamed_on_the_store() {
    let place = Place::with_scripts(WRITER, CHECKER);
    let args = [Place::scripts("kill,syscall"), vec!["--rounds", "2"]].concat();
    let mut command = place.command(&example("line_log"), &args);
    let output = command
        .env("PATH", place.path())
        .output()
        .expect("it starts");
    let texts = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&texts);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no program sh in PATH"), "{text}");
    assert!(!text.contains("VIOLATIONS"), "{text}");
    place.is_clean();
}

/// A program's own exit status is its own, also the one by which our children say that we failed.
#[test]
fn a_program_that_ends_with_our_exit_status_is_still_broken() {
    for crash in ["kill", "syscall"] {
        let writer = "echo 'attempt a'; echo 'out of luck' >&2; exit 93";
        let place = Place::with_scripts(writer, CHECKER);
        let args = [Place::scripts(crash), vec!["--rounds", "2"]].concat();
        let ended = place.start(&example("line_log"), &args).end();
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(
            ended.stdout.contains("exit status: 93: out of luck"),
            "{ended:?}"
        );
    }
}

/// A checker that waits for its end, and says who it is.
const WAITING: &str = "echo $$ > id.new && mv id.new id; while :; do sleep 0.02; done";

#[test]
fn a_command_that_something_else_kills_is_no_violation() {
    for crash in ["kill", "syscall"] {
        let place = Place::with_scripts(WRITER, WAITING);
        let args = [Place::scripts(crash), vec!["--rounds", "1"]].concat();
        let victim = place.start(&example("line_log"), &args);
        let id = place.path().join("id");
        wait_until("the checker waits", || id.exists());
        let id = std::fs::read_to_string(id).expect("readable");
        let checker = Pid::from_raw(id.trim().parse().expect("a process"));
        kill(checker, Signal::SIGKILL).expect("it waits");
        let ended = victim.end();
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(
            ended
                .stdout
                .contains("ENVIRONMENT: a process was killed by a SIGKILL"),
            "{ended:?}"
        );
        place.is_clean();
    }
}

/// The program that a script runs is the larger one, which the kernel prefers.
#[test]
fn a_script_whose_program_is_killed_is_to_blame_for_other_ends_only() {
    for (end, status) in [("kill -9 $$", 2), ("kill -SEGV $$", 1), ("exit 136", 1)] {
        let writer = format!("echo 'attempt a'; sh -c '{end}'");
        let place = Place::with_scripts(&writer, CHECKER);
        let args = [Place::scripts("syscall"), vec!["--rounds", "2"]].concat();
        let ended = place.start(&example("line_log"), &args).end();
        assert_eq!(ended.status, Some(status), "{end}: {ended:?}");
    }
}

#[test]
fn a_failure_that_cannot_be_saved_is_told_all_the_same() {
    let place = Place::with_scripts(EARLY_WRITER, CHECKER);
    std::fs::write(place.failures(), "no directory").expect("written");
    let args = [Place::scripts("syscall"), vec!["--rounds", "1"]].concat();
    let ended = place.start(&example("line_log"), &args).end();
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains("was acknowledged and is gone"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("ENVIRONMENT: cannot save a failure"),
        "{ended:?}"
    );
}

/// Runs the arguments in a mount namespace whose /dev has nothing in it.
fn without_dev(test: &str, place: &Place, program: &Path, args: &[&str]) -> Option<Ended> {
    let script = "mount -t tmpfs none /dev && exec \"$@\"";
    let unshare = ["--mount", "sh", "-c", script, "sh"];
    let can = Command::new("unshare").args(unshare).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: skipped: no mount namespace can be made here");
        return None;
    }
    let args: Vec<&str> = unshare
        .into_iter()
        .chain(program.to_str())
        .chain(args.iter().copied())
        .collect();
    Some(place.start(Path::new("unshare"), &args).end())
}

#[test]
fn without_dev_null_a_command_is_not_to_blame() {
    let place = Place::with_scripts(WRITER, CHECKER);
    for crash in ["kill", "syscall"] {
        let args = [Place::scripts(crash), vec!["--rounds", "1"]].concat();
        let Some(ended) = without_dev("without /dev/null", &place, &example("line_log"), &args)
        else {
            return;
        };
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(
            ended.stderr.contains("/dev/null") && ended.stderr.contains("mknod"),
            "{ended:?}"
        );
    }
}

#[test]
fn without_dev_null_a_subject_is_still_tortured() {
    let place = Place::new();
    for (subject, status) in [("line-log", 0), ("naive", 1)] {
        let args = [
            "run", subject, "--crash", "kill", "--rounds", "60", "--seed", "7", "--out", "failures",
        ];
        let Some(ended) = without_dev("without /dev/null", &place, &example("line_log"), &args)
        else {
            return;
        };
        assert_eq!(ended.status, Some(status), "{ended:?}");
    }
}

#[test]
fn in_a_test_an_error_of_the_machine_is_no_violation() {
    plugpull::obey_orders(&[]);
    let place = Place::with_scripts(WRITER, "exit 127");
    let at = |script: &str| format!("sh '{}' {{dir}}", place.path().join(script).display());
    let store = BlackBox::new(at("writer.sh"), at("checker.sh")).expect("both name the directory");
    let torture = Torture::new(store).crash([CrashKind::Kill, CrashKind::Syscall]);
    let Err(Failure::Environment(message)) = torture.rounds(1).run() else {
        panic!("no checker can be started");
    };
    for row in ["black-box, kill: ", "black-box, syscall: "] {
        assert!(message.contains(row), "{message}");
    }
}
