//! A short torture in every `cargo test`: groupwal under every policy and both engines, killed and checked.

use std::process::Command;

#[test]
fn groupwal_loses_nothing_when_it_is_killed_under_any_policy() {
    let out = tempfile::tempdir().expect("a directory");
    let args = [
        "run", "--crash", "kill", "--rounds", "30", "--seed", "1", "--json",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(args)
        .current_dir(out.path())
        .output()
        .expect("the binary was built");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    let rows: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (summary, rows) = rows.split_last().expect("a summary");
    let subjects: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["subject"].as_str())
        .collect();
    let policies = [
        "groupwal",
        "groupwal/every-write",
        "groupwal/background",
        "groupwal/batch",
        "groupwal/untidy",
    ];
    assert_eq!(subjects, policies);
    for row in rows {
        assert_eq!(row["rounds"], 30, "{row}");
        assert!(row["acked"].as_u64() > Some(0), "{row}");
        assert!(row["killed_mid_work"].as_u64() > Some(0), "{row}");
    }
    assert_eq!(summary["summary"]["violations"], 0);
}
