//! The same seed, the same rounds: whatever else is asked for, and one by one.

use std::process::{Command, Output};

use serde_json::Value;

fn torture(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(args)
        .output()
        .expect("it is built")
}

/// The row of a crash kind, without what depends on the clock.
fn row(args: &[&str], crash: &str) -> Value {
    let out = torture(&[&["run", "groupwal"], args, &["--seed", "5", "--json"]].concat());
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
    let out = String::from_utf8(out.stdout).expect("JSON is UTF-8");
    let rows = out.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("a line is an object");
        row
    });
    let mut rows = rows.filter(|row| row["crash"] == crash);
    let mut row = rows.next().expect("it was asked for");
    for key in ["elapsed_s", "rounds_per_s", "states_per_s"] {
        let row = row.as_object_mut().expect("a row is an object");
        row.remove(key).expect("it is in every row");
    }
    row
}

#[test]
fn a_row_does_the_same_whatever_else_is_asked_for() {
    let rounds = ["--rounds", "2"];
    let alone = row(&[&["--crash", "rot"], &rounds[..]].concat(), "rot");
    let behind = row(&[&["--crash", "power,rot"], &rounds[..]].concat(), "rot");
    assert_eq!(alone, behind);
}

#[test]
fn rounds_that_are_done_one_by_one_add_up() {
    let of = |args: &[&str]| {
        let row = row(&[&["--crash", "rot"], args].concat(), "rot");
        ["rounds", "crash_states", "attempts", "detected"]
            .map(|count| row[count].as_u64().expect("a count"))
    };
    let whole = of(&["--rounds", "4"]);
    let mut sum = [0; 4];
    for round in ["0", "1", "2", "3"] {
        let one = of(&["--round", round]);
        assert_eq!(one[0], 1);
        for (sum, count) in sum.iter_mut().zip(one) {
            *sum += count;
        }
    }
    assert_eq!(sum, whole);
}

#[test]
fn a_round_that_goes_on_from_another_is_not_done_alone() {
    let out = torture(&[
        "run", "groupwal", "--crash", "kill", "--round", "1", "--seed", "5",
    ]);
    assert_eq!(out.status.code(), Some(2));
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        told.contains("a round of `kill` of groupwal goes on"),
        "{told}"
    );
}
