//! `ablate` on the command line, of two shell commands.

use std::path::Path;
use std::process::{Command, Output};

/// `sync FILE` is an fsync.
const WRITER: &str = r#"
    [ -e "$1/log" ] || { : > "$1/log"; sync "$1"; }
    i=0
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        while read -r line; do echo "$line"; done < "$1/log" > "$1/log.new"
        echo "$id." >> "$1/log.new"
        sync "$1/log.new"
        mv "$1/log.new" "$1/log"
        sync "$1"
        echo "ack $id"
        i=$((i + 1))
    done
"#;

const CHECKER: &str = r#"
    [ -e "$1/log" ] || exit 0
    while read -r line; do
        case $line in g*.) echo "survived ${line%.}" ;; esac
    done < "$1/log"
"#;

/// Any torture binary will do: this is the `line_log` example's, which `cargo test` has built next to this
/// test.
fn torture(args: &[&str], dir: &Path) -> Output {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let mut command = Command::new(profile.join("examples/line_log"));
    let output = command.args(args).current_dir(dir).output();
    output.expect("the example was built")
}

#[test]
fn two_commands_are_ablated_and_each_site_is_a_line_of_json() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("writer.sh"), WRITER).expect("written");
    std::fs::write(dir.path().join("checker.sh"), CHECKER).expect("written");
    let mut args = vec!["ablate", "--cmd", "sh writer.sh {dir}"];
    args.extend(["--check", "sh checker.sh {dir}", "--profile", "synced-only"]);
    args.extend(["--rounds", "1", "--seed", "1", "--jobs", "1", "--json"]);
    let output = torture(&args, dir.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("ptrace") {
        eprintln!("skipped: {stderr}");
        return;
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines = stdout.lines().map(serde_json::from_str);
    let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().expect("JSON");
    let [sites @ .., summary] = &*lines else {
        panic!("no summary: {stderr}");
    };
    let told = sites.iter().map(|site| {
        let text = |name: &str| site[name].as_str().unwrap_or_default().to_owned();
        [text("call"), text("file"), text("outcome")]
    });
    let told: Vec<[String; 3]> = told.collect();
    let names = ["fsync", ".", "noticed"].map(str::to_owned);
    let bytes = ["fsync", "log.new", "noticed"].map(str::to_owned);
    assert!(told.contains(&names) && told.contains(&bytes), "{stdout}");
    assert_eq!(summary["summary"]["noticed"], 2, "{stdout}");
    assert_eq!(output.status.code(), Some(0), "{stdout} {stderr}");
}

#[test]
fn what_cannot_be_ablated_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let commands = [
        "--cmd",
        "sh writer.sh {dir}",
        "--check",
        "sh checker.sh {dir}",
    ];
    for (more, complaint) in [
        (&[][..], "required"),
        (&commands[..2], "--check"),
        (&["--cmd", "writer", "--check", "checker"], "{dir}"),
        (
            &[&commands[..], &["--recorder", "seam"]].concat(),
            "has no seam",
        ),
        (
            &[&commands[..], &["--profile", "everything"]].concat(),
            "no sync does anything",
        ),
    ] {
        let output = torture(&[&["ablate"], more].concat(), dir.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains(complaint), "{more:?}: {stderr}");
    }
}
