//! Shards of one torture, as processes of their own, and what `merge` makes of their reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const RUN: [&str; 8] = [
    "run",
    "groupwal",
    "--crash",
    "power,rot",
    "--rounds",
    "3",
    "--seed",
    "5",
];

fn torture(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(args)
        .output()
        .unwrap()
}

fn run(dir: &Path, name: &str, more: &[&str]) -> PathBuf {
    let out = torture(&[&RUN[..], more, &["--json"]].concat());
    assert!(out.status.success(), "{}", stderr(&out));
    let path = dir.join(name);
    fs::write(&path, out.stdout).unwrap();
    path
}

fn merge(reports: &[&PathBuf]) -> Output {
    let reports = reports.iter().map(|path| path.to_str().unwrap());
    let args: Vec<&str> = ["merge", "--json"].into_iter().chain(reports).collect();
    torture(&args)
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A report without what depends on the clock, and without the numbers of sorts of states, which are of one process:
/// those of two shards have sorts in common.
fn timeless(report: &[u8]) -> Vec<Value> {
    let mut lines: Vec<Value> = String::from_utf8_lossy(report)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &mut lines {
        let object = if line.get("summary").is_some() {
            &mut line["summary"]
        } else {
            line
        };
        for key in ["elapsed_s", "rounds_per_s", "states_per_s"] {
            object.as_object_mut().unwrap().remove(key).unwrap();
        }
        if let Some(reached) = object.get_mut("reached") {
            reached.as_object_mut().unwrap().remove("sorts");
        }
    }
    lines
}

#[test]
fn shards_together_report_what_one_torture_does() {
    let dir = tempfile::tempdir().unwrap();
    let whole = run(dir.path(), "whole", &[]);
    let shards = ["1/2", "2/2"];
    let shards = shards.map(|shard| run(dir.path(), &shard[..1], &["--shard", shard]));
    let merged = merge(&shards.each_ref());
    assert!(merged.status.success(), "{}", stderr(&merged));
    let whole = timeless(&fs::read(whole).unwrap());
    assert_eq!(timeless(&merged.stdout), whole);
    // Three rounds on two shards: the first and the third, and the second.
    let rounds = shards.map(|shard| timeless(&fs::read(shard).unwrap())[0]["rounds"].clone());
    assert_eq!(rounds, [2, 1].map(Value::from));
}

/// What must never be added up: a total that looks complete and is not.
#[test]
fn reports_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let report = |name: &str, seed: u64, shard: &str, crash: &str, more: &str| {
        let row = format!(
            r#"{{"subject":"s","crash":"{crash}","seed":{seed},{tally},"elapsed_s":1.0,"rounds_per_s":1.0,"states_per_s":1.0,"coverage":"sampled","strays":0,"failures":[]{more}}}"#,
            tally = tally(),
        );
        let summary = format!(
            r#"{{"summary":{{"seed":{seed},"shard":"{shard}","interrupted":{}}}}}"#,
            name == "interrupted"
        );
        let path = dir.path().join(name);
        let text = match name {
            "cut" => format!("{row}\n"),
            "two" => format!("{row}\n{summary}\n{row}\n{summary}\n"),
            _ => format!("{row}\n{summary}\n"),
        };
        fs::write(&path, text).unwrap();
        path
    };
    let first = report("first", 1, "1/2", "kill", "");
    let second = report("second", 1, "2/2", "kill", "");
    let whole = merge(&[&first, &second]);
    assert!(whole.status.success(), "{}", stderr(&whole));
    let reversed = merge(&[&second, &first]);
    assert_eq!(whole.stdout, reversed.stdout);
    let unavailable = r#","unavailable":"no root""#;
    for (other, why) in [
        (report("seed", 2, "2/2", "kill", ""), "another seed"),
        (
            report("count", 1, "2/3", "kill", ""),
            "another number of shards",
        ),
        (report("again", 1, "1/2", "kill", ""), "is there twice"),
        (report("kind", 1, "2/2", "power", ""), "other rows"),
        (
            report("root", 1, "2/2", "kill", unavailable),
            "is unavailable in one",
        ),
        (report("cut", 1, "2/2", "kill", ""), "no summary"),
        (report("two", 1, "2/2", "kill", ""), "more than one report"),
        (
            report("interrupted", 1, "2/2", "kill", ""),
            "was interrupted",
        ),
    ] {
        let out = merge(&[&first, &other]);
        assert_eq!(out.status.code(), Some(2), "{other:?}");
        assert!(stderr(&out).contains(why), "{other:?}: {}", stderr(&out));
    }
    let out = merge(&[&first]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        stderr(&out).contains("missing: shard 2/2"),
        "{}",
        stderr(&out)
    );
    let missing = dir.path().join("nowhere");
    assert!(stderr(&merge(&[&missing])).contains("nowhere: cannot read"));
    fs::write(&missing, "no json\n").unwrap();
    assert!(stderr(&merge(&[&missing])).contains("line 1 is not of a report"));
}

/// A tally that shows something.
fn tally() -> String {
    let tally = serde_json::to_value(plugpull::Tally {
        rounds: 1,
        acked: 1,
        killed_mid_work: 1,
        ..plugpull::Tally::default()
    });
    let text = tally.unwrap().to_string();
    text[1..text.len() - 1].to_owned()
}
