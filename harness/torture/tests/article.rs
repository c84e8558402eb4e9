//! The article's own write group, which is kept to show what a torture finds: it must go on finding it.

use std::collections::BTreeSet;
use std::process::Command;

use plugpull::{CrashKind, Failure, Torture};
use torture::Article;

/// Different sorts of failure, whatever kind of crash brought them to light. There are more; these few
/// rounds come to at least so many.
const CLASSES_MIN: usize = 12;

#[test]
fn the_article_s_write_group_shows_its_hazards_in_seconds() {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(Article)
        .crash([CrashKind::Power, CrashKind::Rot])
        .rounds(3)
        .seed(1)
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

/// Whoever names no subject does not get it, and is told of it.
#[test]
fn an_exhibit_is_tortured_by_name_only() {
    let torture = |args: &[&str]| {
        let mut torture = Command::new(env!("CARGO_BIN_EXE_torture"));
        let out = tempfile::tempdir().expect("a directory");
        let output = torture.args(args).current_dir(out.path()).output();
        let output = output.expect("the binary was built");
        let stdout = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), stdout)
    };
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
