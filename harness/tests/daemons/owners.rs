//! Daemons that change their user.

use nix::unistd::geteuid;

use crate::torture::{Place, has, skipped};

/// A user to whom nothing belongs, and who may pass where others may.
const USER: &str = "nobody";
const AS_USER: &str = "setpriv --reuid nobody --clear-groups --";

fn can_change_user(test: &str) -> bool {
    if !geteuid().is_root() {
        skipped(test, "only root can change its user");
        return false;
    }
    has("setpriv", test, "util-linux")
}

/// The log of another user is made, written and recovered by that user.
fn commands() -> [String; 2] {
    let program = format!("{AS_USER} sh naive_log.sh");
    [
        format!("{program} write {{dir}} correct"),
        format!("{program} check {{dir}}"),
    ]
}

#[test]
fn another_user_owns_its_store_under_every_recorder() {
    if !can_change_user("owners") {
        return;
    }
    let place = Place::new();
    let commands = commands();
    let commands = [commands[0].as_str(), &commands[1]];
    for (recorder, rounds) in [
        ("--crash=kill", "12"),
        ("--crash=syscall", "1"),
        ("--crash=power --recorder=trace", "1"),
        ("--crash=power --recorder=mount", "1"),
        ("--crash=disk --fs=ext4", "1"),
    ] {
        let more: Vec<&str> = recorder.split(' ').collect();
        let more = [&more[..], &["--rounds", rounds, "--jobs", "1"]].concat();
        let ended = place.run(commands, &[&more[..], &["--owner", USER]].concat());
        if ended.told.contains("\"unavailable\":\"") || ended.told.contains("is unavailable") {
            skipped("owners", &format!("{recorder}: {}", ended.told));
            continue;
        }
        eprintln!("{recorder}");
        ended.passes();
        // Without an owner it cannot even enter the directory.
        let ended = place.run(commands, &[&more[..], &["--fail-fast"]].concat());
        ended.is_violation("ermission denied");
    }
}

/// It is as much under test as that of root.
#[test]
fn a_naive_log_of_another_user_is_caught_and_its_failure_can_be_checked_again() {
    if !can_change_user("owners") {
        return;
    }
    let place = Place::new();
    let [write, check] = commands();
    let write = write.replace("correct", "naive");
    for recorder in ["trace", "mount"] {
        let more = [
            "--crash",
            "power",
            "--profile",
            "strict",
            "--recorder",
            recorder,
        ];
        let more = [
            &more[..],
            &["--rounds", "4", "--fail-fast", "--owner", USER],
        ]
        .concat();
        let ended = place.run([&write, &check], &more);
        ended.is_violation("was acknowledged and is gone");
    }
    for failure in std::fs::read_dir(place.path().join("failures")).expect("saved") {
        let failure = failure.expect("readable").path();
        let story = std::fs::read_to_string(failure.join("README.md")).expect("told");
        assert!(!story.contains("set the owner"), "{story}");
        for (command, lost) in [("replay", "is gone"), ("shrink", "is gone")] {
            let mut again = std::process::Command::new(place.command(["", ""], &[]).get_program());
            let output = again.arg(command).arg(&failure).current_dir(place.path());
            let output = output.output().expect("it starts");
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command}: {told}");
            assert!(told.contains(lost), "{command}: {told}");
        }
    }
}

/// Its folder is as much the user's as the store.
#[test]
fn another_user_can_have_a_socket() {
    if !can_change_user("owners") || !has("python3", "owners", "python3") {
        return;
    }
    let place = Place::new();
    let command = |word: &str| {
        let program = "/usr/bin/env python3 daemon_log.py";
        format!("{AS_USER} {program} {word} {{dir}} {{sock}}")
    };
    if !place.can_run(&format!("{AS_USER} /usr/bin/env python3 -c ''")) {
        skipped(
            "owners",
            "the python3 of this machine is not for other users",
        );
        return;
    }
    let more = ["--crash", "kill", "--rounds", "12", "--owner", USER];
    place
        .run([&command("write"), &command("check")], &more)
        .passes();
}

#[test]
fn a_place_that_the_owner_cannot_reach_is_told() {
    if !can_change_user("owners") {
        return;
    }
    let place = Place::new();
    let hidden = place.path().join("hidden");
    std::fs::create_dir(&hidden).expect("new");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&hidden, closed).expect("ours");
    let hidden = hidden.to_str().expect("ASCII");
    let commands = commands();
    let more = [
        "--crash", "kill", "--rounds", "1", "--owner", USER, "--dir", hidden,
    ];
    let ended = place.run([&commands[0], &commands[1]], &more);
    ended.is_environment("user 'nobody' may not enter it");
    let ended = place.run([&commands[0], &commands[1]], &["--owner", "no-such-user"]);
    ended.is_environment("there is no user 'no-such-user'");
}
