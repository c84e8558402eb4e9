//! A short ablation in every `cargo test`: groupwal's sync call sites are told apart, and losing one is
//! noticed. Which of them need more rounds than these is told in `docs/ablation.md`.

use std::process::{Command, Output};

fn torture(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    command.args(args).output().expect("the binary was built")
}

#[test]
fn a_few_rounds_notice_most_of_the_syncs_of_groupwal_by_the_way_to_each() {
    // What is not synced is lost: each crash has one outcome, which even a build without optimisation
    // gets through.
    let args = "ablate groupwal --rounds 2 --seed 1 --profile synced-only --engine inline --json";
    let output = torture(&args.split(' ').collect::<Vec<_>>());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let summary = lines.pop().expect("a summary")["summary"].take();
    assert_eq!(summary["sites"], lines.len(), "{stdout}\n{stderr}");
    assert_eq!(summary["broken"], serde_json::Value::Null, "{stdout}");

    let outcome = |kind: &str, functions: &[&str]| {
        let is_it = |line: &&serde_json::Value| {
            let frames = line["frames"].as_array().expect("frames");
            let names = frames.iter().map(|frame| &frame["function"]);
            line["kind"] == kind && names.zip(functions).all(|(a, b)| a == b)
        };
        let found: Vec<_> = lines.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{kind} in {functions:?}: {stdout}");
        found[0]["outcome"].as_str().expect("a word").to_owned()
    };
    let noticed = [
        ("fdatasync", &["log::write", "log::append"][..]),
        ("fdatasync", &["shelf::sync_data", "recovery::repair"]),
        ("fsync directory", &["ancestors::create_in"]),
        (
            "fsync directory",
            &["files::sync", "files::name", "prepare::name"],
        ),
    ];
    for (kind, functions) in noticed {
        assert_eq!(
            outcome(kind, functions),
            "noticed",
            "{functions:?}: {stdout}"
        );
    }
    let all_files = lines.iter().all(|line| {
        line["frames"][0]["file"]
            .as_str()
            .is_some_and(|file| file.starts_with("src/"))
    });
    assert!(all_files, "{stdout}");
    let expected = i32::from(summary["missed"] != 0);
    assert_eq!(output.status.code(), Some(expected), "{stdout}\n{stderr}");
}

#[test]
fn what_cannot_be_ablated_is_wrong_usage() {
    for (args, words) in [
        (&["ablate", "nobody"][..], "unknown subject 'nobody'"),
        (
            &["ablate", "groupwal", "--engine", "steam"],
            "engine 'steam'",
        ),
        (&["ablate", "groupwal", "--rounds", "0"], "0 is not in"),
        (&["ablate"], "<SUBJECT>"),
    ] {
        let output = torture(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}
