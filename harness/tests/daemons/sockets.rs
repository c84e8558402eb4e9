//! Sockets of daemons.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::torture::{Ended, Place, has};
use crate::wait::wait_until;

/// A torture whose temporary files are all in the place.
fn torture(place: &Place, commands: [&str; 2], more: &[&str]) -> std::process::Child {
    let mut command = place.command(commands, more);
    command.env("TMPDIR", place.temporary());
    command.spawn().expect("the example was built")
}

fn left(place: &Place) -> usize {
    let entries = fs::read_dir(place.temporary()).expect("it is there");
    entries.count()
}

#[test]
fn daemons_on_sockets_pass_and_leave_no_folder() {
    if !has("python3", "sockets", "python3") {
        return;
    }
    let place = Place::new();
    // A shell starts a client for each word: that is enough for a kill.
    for (program, crashes) in [
        ("python3 daemon_log.py", ["kill", "syscall"].as_slice()),
        ("sh daemon_log.sh", &["kill"]),
    ] {
        let write = format!("{program} write {{dir}} {{sock}}");
        let check = format!("{program} check {{dir}} {{sock}}");
        for crash in crashes {
            let rounds = if *crash == "kill" { "12" } else { "1" };
            let more = ["--crash", crash, "--rounds", rounds, "--jobs", "2"];
            let torture = torture(&place, [&write, &check], &more);
            Ended::of(torture).passes();
            assert_eq!(left(&place), 0, "{program}, {crash}");
        }
        let naive = format!("{write} naive");
        let more = ["--crash", "kill", "--rounds", "100", "--fail-fast"];
        let torture = torture(&place, [&naive, &check], &more);
        let ended = Ended::of(torture);
        ended.is_violation("was acknowledged and is gone");
    }
}

#[test]
fn a_daemon_that_does_not_start_is_a_violation_at_once() {
    if !has("python3", "sockets", "python3") {
        return;
    }
    let place = Place::new();
    for program in ["python3 daemon_log.py", "sh daemon_log.sh"] {
        // Its log is a directory.
        let write =
            format!("sh -c 'mkdir -p \"$1/log\"; exec {program} write $1 $2' sh {{dir}} {{sock}}");
        let more = ["--crash", "kill", "--rounds", "20", "--fail-fast"];
        let ended = place.run([&write, "true {dir}"], &more);
        ended.is_violation("ended by itself");
    }
}

/// It bears a lock that ends with the process, so the next torture knows that nothing needs it.
#[test]
fn the_folder_of_a_torture_that_was_killed_is_removed_by_the_next_one() {
    let place = Place::new();
    let writer = "echo > $PLUGPULL_SOCK; echo > begun; while :; do sleep 1; done";
    place.script("writer.sh", writer);
    let commands = ["sh writer.sh {dir}", "true {dir}"];
    let more = ["--crash", "kill", "--rounds", "1", "--jobs", "1"];
    let mut victim = torture(
        &place,
        commands,
        &[&more[..], &["--hang-limit", "1h"]].concat(),
    );
    wait_until("a command runs", || place.path().join("begun").exists());
    let id = i32::try_from(victim.id()).expect("small");
    kill(Pid::from_raw(id), Signal::SIGKILL).expect("it runs");
    victim.wait().expect("it was killed");
    assert_ne!(left(&place), 0, "a process that is killed removes nothing");
    place.script("writer.sh", "echo attempt g$PLUGPULL_GENERATION");
    let next = torture(&place, commands, &more);
    Ended::of(next);
    assert_eq!(left(&place), 0);
}
