//! A log of lines in each language that has a file of words: as one writes it in five minutes, and correct.

use std::process::Command;

use crate::torture::{Place, has};

/// The correct one survives power cuts and kills, the naive one does not survive the first.
fn is_caught_if_naive(place: &Place, program: &str) {
    let check = format!("{program} check {{dir}}");
    let power = ["--crash", "power", "--profile", "strict"];
    let run = |mode: &str, more: &[&str]| {
        let write = format!("{program} write {{dir}} {mode}");
        place.run([&write, &check], &[more, &["--jobs", "1"]].concat())
    };
    let naive = run(
        "naive",
        &[&power[..], &["--rounds", "4", "--fail-fast"]].concat(),
    );
    naive.is_violation("was acknowledged and is gone");
    run("correct", &[&power[..], &["--rounds", "1"]].concat()).passes();
    run("correct", &["--crash", "kill", "--rounds", "12"]).passes();
}

#[test]
fn python() {
    if has("python3", "python", "python3") {
        is_caught_if_naive(&Place::new(), "python3 naive_log.py");
    }
}

#[test]
fn shell() {
    is_caught_if_naive(&Place::new(), "sh naive_log.sh");
}

#[test]
fn c() {
    if has("cc", "c", "gcc") {
        let place = Place::new();
        compile(
            &place,
            "cc",
            &["-Wall", "-Wextra", "-Werror", "-o", "log", "naive_log.c"],
        );
        is_caught_if_naive(&place, "./log");
    }
}

#[test]
fn go() {
    if has("go", "go", "golang-go") {
        let place = Place::new();
        let files = ["naive_log.go", "plugpull.go"];
        compile(
            &place,
            "go",
            &[&["build", "-o", "log"], &files[..]].concat(),
        );
        is_caught_if_naive(&place, "./log");
    }
}

fn compile(place: &Place, compiler: &str, args: &[&str]) {
    let mut command = Command::new(compiler);
    command.args(args).current_dir(place.path());
    // What the compiler keeps between runs is kept with what cargo builds.
    command
        .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go"))
        .env("GO111MODULE", "off");
    let output = command.output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}
