//! The mutants keep up with the source: a patch that does not apply any more is a test that nobody runs.

use std::process::Command;

#[test]
fn every_mutant_applies_and_is_looked_at_by_somebody() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_torture"));
    let checked = check.args(["mutants", "--check"]).output().unwrap();
    let why = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{why}");
    let said = String::from_utf8_lossy(&checked.stdout);
    let words: Vec<&str> = said.split_whitespace().collect();
    let [count, "mutants", "apply,", ..] = words[..] else {
        panic!("it says: {said}");
    };
    assert!(count.parse::<u32>().unwrap() > 0, "it says: {said}");
}
