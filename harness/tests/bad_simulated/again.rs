//! A test that has found a failure looks at it first the next time, and whenever it is asked to.

use std::path::Path;
use std::process::{Command, Output};

use plugpull::{CrashKind, Failure, Finding, Report, Row, Torture};

use crate::mistake::Mistake;
use crate::store::Store;

fn torture(mistake: Mistake, artifacts: &Path) -> Torture {
    let store = Store {
        mistake,
        name: "a-log".to_owned(),
    };
    let torture = Torture::new(store).crash([CrashKind::Power]);
    torture.rounds(2).seed(1).artifacts(artifacts)
}

fn caught(mistake: Mistake, artifacts: &Path) -> Row {
    match torture(mistake, artifacts).run() {
        Err(Failure::Violation(mut rows)) => rows.remove(0),
        other => panic!("it is not caught: {other:?}"),
    }
}

fn passes(mistake: Mistake, artifacts: &Path) -> Row {
    match torture(mistake, artifacts).run() {
        Ok(Report { mut rows }) => rows.remove(0),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn what_has_failed_once_is_red_at_once_until_it_is_mended() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = caught(Mistake::AcksBeforeSync, dir.path());
    assert!(first.tally.rounds > 0);
    let again = caught(Mistake::AcksBeforeSync, dir.path());
    assert_eq!((again.tally.rounds, again.tally.crash_states), (0, 1));
    assert_eq!(again.failures[0].class, first.failures[0].class);
    let mended = passes(Mistake::None, dir.path());
    assert_eq!(mended.tally.rounds, 2);
    // It is not forgotten.
    caught(Mistake::AcksBeforeSync, dir.path());
}

#[test]
fn without_its_folder_the_round_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = caught(Mistake::AcksBeforeSync, dir.path());
    let found = Finding::load(&first.failures[0].folder).expect("it was saved");
    for failure in &first.failures {
        std::fs::remove_dir_all(&failure.folder).expect("removed");
    }
    let again = caught(Mistake::AcksBeforeSync, dir.path());
    assert_eq!(again.tally.rounds, 1);
    let again = Finding::load(&again.failures[0].folder).expect("it was saved");
    assert_eq!((again.round, again.events), (found.round, found.events));
    assert_eq!(passes(Mistake::None, dir.path()).tally.rounds, 2);
}

/// What cannot be played again stops no torture.
#[test]
fn a_failure_that_cannot_be_looked_at_again_is_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = caught(Mistake::AcksBeforeSync, dir.path());
    for failure in &first.failures {
        let path = failure.folder.join("failure.json");
        let text = std::fs::read(&path).expect("read");
        let mut finding: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        finding["evidence"] = serde_json::Value::Null;
        std::fs::write(&path, finding.to_string()).expect("written");
    }
    assert_eq!(passes(Mistake::None, dir.path()).tally.rounds, 2);
}

const FOLDER: &str = "PLUGPULL_TEST_ARTIFACTS";

/// The torture of the test below, in a process that has a variable of plugpull's.
#[test]
#[ignore = "another test runs it"]
fn asked() {
    let artifacts = std::env::var_os(FOLDER).expect("it is started by the other one");
    let torture = torture(Mistake::AcksBeforeSync, Path::new(&artifacts));
    if let Err(failure) = torture.run() {
        panic!("{failure}");
    }
}

fn run(artifacts: &Path, variable: &str, folder: &Path) -> Output {
    let program = std::env::current_exe().expect("it is running");
    let test = ["again::asked", "--exact", "--ignored", "--nocapture"];
    let mut command = Command::new(program);
    command
        .args(test)
        .env(FOLDER, artifacts)
        .env(variable, folder);
    command.output().expect("it starts")
}

#[test]
fn the_environment_asks_for_a_replay_or_for_less() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = caught(Mistake::AcksBeforeSync, dir.path());
    let folder = &row.failures[0].folder;
    let message = Failure::Violation(vec![row.clone()]).to_string();
    for variable in ["PLUGPULL_REPLAY", "PLUGPULL_SHRINK"] {
        let command = format!("{variable}='{}' cargo test -p plugpull", folder.display());
        assert!(message.contains(&command), "{message}");
        let out = run(dir.path(), variable, folder);
        let told = [out.stdout, out.stderr].concat();
        let told = String::from_utf8(told).expect("text");
        assert!(!out.status.success(), "{told}");
        assert!(told.contains("1 violations in 0 rounds"), "{told}");
        let has_test = told.contains("#[test]");
        assert_eq!(has_test, variable == "PLUGPULL_SHRINK", "{told}");
    }
    let other = caught(Mistake::AcksBeforeSync, dir.path()).failures[0]
        .folder
        .clone();
    let text = std::fs::read_to_string(other.join("failure.json")).expect("read");
    let text = text.replace(r#""subject":"a-log""#, r#""subject":"another""#);
    std::fs::write(other.join("failure.json"), text).expect("written");
    let out = run(dir.path(), "PLUGPULL_REPLAY", &other);
    let told = String::from_utf8(out.stderr).expect("text");
    assert!(told.contains("a failure of another"), "{told}");
}
