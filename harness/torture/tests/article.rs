//! The article's own write group, which is kept to show what a torture finds: it must go on finding it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use plugpull::{CrashKind, Failure, Row, Torture};
use torture::Article;

/// Different sorts of failure, whatever kind of crash brought them to light. There are more; these few
/// rounds come to at least so many.
const CLASSES_MIN: usize = 11;

#[test]
fn the_article_s_write_group_shows_its_hazards_in_seconds() {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(Article)
        .crash([CrashKind::Power, CrashKind::Rot])
        .rounds(2)
        .seed(3)
        .artifacts(artifacts.path());
    let Err(Failure::Violation(rows)) = torture.run() else {
        panic!("it breaks promises");
    };
    let mut classes = BTreeSet::new();
    for row in &rows {
        // One failure of each class is kept, and all of them are counted.
        let kept: BTreeSet<&String> = row.failures.iter().map(|kept| &kept.class).collect();
        assert_eq!(kept.len(), row.failures.len());
        assert!(
            kept.iter()
                .eq(&row.tally.classes.keys().collect::<Vec<_>>())
        );
        assert_eq!(
            row.tally.classes.values().sum::<u64>(),
            row.tally.violations
        );
        classes.extend(row.tally.classes.keys().cloned());
    }
    assert!(classes.len() >= CLASSES_MIN, "{classes:#?}");
    for known in [
        // A dropped follower: its leader panics, and its group has no leader.
        "the writer failed: panic: a leader's follower is gone: N",
        "the writer failed: panic: an append hangs: nobody leads its group",
        // A file that was begun and has no header.
        "recovery failed: unexpected end of file",
        // A name that nobody made durable.
        "lost",
        // A torn tail that stays and is counted.
        "mangled",
        "moved",
        "hole",
    ] {
        assert!(classes.contains(known), "{known} is not in {classes:#?}");
    }
}

/// Runs the binary in a directory, where it saves failures.
fn torture_in(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut torture = Command::new(env!("CARGO_BIN_EXE_torture"));
    let output = torture.args(args).current_dir(dir).output();
    let output = output.expect("the binary was built");
    let stdout = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), stdout)
}

/// Most of what damaged bytes bring about is also to be had by a power cut alone, and torn entries are
/// mangled: what is shrunk must stay what it was.
#[test]
fn shrinking_keeps_to_the_class_and_to_the_kind_of_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = [
        "run", "article", "--crash", "rot", "--rounds", "6", "--seed", "1", "--json",
    ];
    let (_, rows) = torture_in(dir.path(), &run);
    let row: Row = serde_json::from_str(rows.lines().next().expect("a row")).expect("JSON");
    let damaged =
        "recovery of damaged bytes: panic: range end index N out of range for slice of length N";
    let failure = row.failures.iter().find(|kept| kept.class == damaged);
    let folder = failure.expect("it is one of the first").folder.clone();
    let folder = folder.to_str().expect("text");
    let (status, shrunk) = torture_in(dir.path(), &["shrink", folder, "--duration", "2s"]);
    assert_eq!(status, Some(1), "{shrunk}");
    assert!(
        shrunk.contains("broken: recovery of damaged bytes: panicked: range end"),
        "{shrunk}"
    );
    assert!(shrunk.contains("sectors rotted"), "{shrunk}");
}

/// Whoever names no subject does not get it, and is told of it.
#[test]
fn an_exhibit_is_tortured_by_name_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let torture = |args: &[&str]| torture_in(dir.path(), args);
    let run = [
        "run", "--crash", "rot", "--rounds", "1", "--seed", "1", "--json",
    ];
    let (status, unnamed) = torture(&run);
    assert_eq!(status, Some(0), "{unnamed}");
    assert!(!unnamed.contains("article"), "{unnamed}");
    let (status, named) = torture(&[&run[..1], &["article"], &run[1..]].concat());
    assert_eq!(status, Some(1), "{named}");
    let (_, list) = torture(&["list"]);
    let line = list
        .lines()
        .skip_while(|line| !line.contains("article"))
        .nth(1);
    assert!(
        line.is_some_and(|line| line.contains("expected to fail")),
        "{list}"
    );
}
