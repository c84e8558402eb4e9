//! Ctrl-C and SIGTERM, once and twice.

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use plugpull::disk::{FileSystem, available};

use super::victim::{CHECKER, Ended, Place, WRITER, example, summary};
use super::wait::wait_until;

/// It says what it has not done, and claims nothing of it.
fn is_interrupted(ended: &Ended, status: i32) {
    assert_eq!(ended.status, Some(status), "{ended:?}");
    assert!(ended.stdout.contains("Interrupted before"), "{ended:?}");
    assert!(
        !ended.stdout.contains("\nNo promise was broken."),
        "{ended:?}"
    );
}

/// Lets a torture do something, then sends the signal once.
fn once(store: &str, crash: &str, more: &[&str], (signal, status): (Signal, i32)) {
    let place = Place::new();
    let (program, name) = store.split_once(' ').expect("program and subject");
    let scratch = place.scratch();
    let scratch = scratch.to_str().expect("ASCII");
    let args = [
        "run",
        name,
        "--crash",
        crash,
        "--duration",
        "1h",
        "--seed",
        "1",
        "--jobs",
        "2",
        "--dir",
        scratch,
        "--out",
        "failures",
    ];
    let args = [&args, more].concat();
    let victim = place.start(&example(program), &args);
    wait_until("it has begun", || victim.stderr().contains(": begins"));
    victim.send(signal);
    let ended = victim.end();
    is_interrupted(&ended, status);
    let first = crash.split(',').next().expect("a kind");
    assert!(
        ended
            .stdout
            .contains(&format!("Cut short: {name}, {first}")),
        "{ended:?}"
    );
    for left in crash.split(',').skip(1) {
        assert!(
            ended.stdout.contains(&format!("{name}, {left}")),
            "{ended:?}"
        );
    }
    assert_eq!(
        ended.stdout.contains("Not run: "),
        crash.contains(','),
        "{ended:?}"
    );
    place.is_clean();
}

#[test]
fn one_signal_ends_every_kind_and_names_what_was_not_done() {
    for (store, crash) in [
        ("line_log line-log", "kill,syscall"),
        ("line_log line-log", "syscall"),
        ("sim_store sim-store", "power,fault,rot"),
        ("sim_store sim-store", "fault"),
        ("sim_store sim-store", "rot"),
    ] {
        once(store, crash, &[], (SIGINT, 130));
        once(store, crash, &[], (SIGTERM, 143));
    }
}

#[test]
fn one_signal_ends_a_torture_on_a_real_disk() {
    if let Err(why) = available(&FileSystem::ext4(), &std::env::temp_dir()) {
        eprintln!("one signal: skipped: ext4 on a recorded disk is unavailable here: {why}");
        return;
    }
    once(
        "disk_ways direct",
        "disk",
        &["--fs", "ext4"],
        (SIGTERM, 143),
    );
}

/// A torture by commands, whose checker sleeps for ever.
fn sleeping(crash: &str) -> Place {
    let place = Place::with_scripts(WRITER, "exec sleep 1000000");
    let scratch = place.scratch();
    let mut args = Place::scripts(crash);
    args.extend(["--duration", "1h", "--hang-limit", "30m", "--json", "--dir"]);
    args.push(scratch.to_str().expect("ASCII"));
    let victim = place.start(&example("line_log"), &args);
    let sleeps = || {
        place
            .processes()
            .iter()
            .any(|line| line.contains("sleep 1000000"))
    };
    wait_until("the checker sleeps", sleeps);
    victim.send(SIGTERM);
    let ended = victim.end();
    assert_eq!(ended.status, Some(143), "{ended:?}");
    let summary = summary(&ended);
    assert_eq!(summary["interrupted"], true, "{summary}");
    assert_eq!(summary["verdict"], "interrupted", "{summary}");
    assert_eq!(
        summary["violations"], 0,
        "a checker that was ended by us is no violation"
    );
    place
}

#[test]
fn one_signal_ends_the_wait_for_a_checker_that_never_ends() {
    for crash in ["kill", "syscall"] {
        sleeping(crash).is_clean();
    }
}

/// The thread of a store in the harness's own process cannot be ended: it is deaf to the first signal.
#[test]
fn a_second_signal_ends_what_the_first_one_cannot() {
    let place = Place::new();
    let scratch = place.scratch();
    let scratch = scratch.to_str().expect("ASCII");
    let args = [
        "run",
        "stuck",
        "--crash",
        "power,kill",
        "--duration",
        "1h",
        "--hang-limit",
        "30m",
        "--dir",
        scratch,
        "--out",
        "failures",
    ];
    for (signals, status) in [([SIGINT, SIGINT], 130), ([SIGTERM, SIGINT], 143)] {
        let mut victim = place.start(&example("stuck_store"), &args);
        // Before, the first signal may end it.
        wait_until("it hangs", || victim.stderr().contains("waits for ever"));
        victim.send(signals[0]);
        // Its handler is a thread: of two signals of one kind that are pending the kernel keeps one.
        wait_until("the first signal was heard", || {
            victim.stderr().contains("Ending")
        });
        assert!(!victim.is_over(), "nothing can end the store's thread");
        victim.send(signals[1]);
        let ended = victim.end();
        is_interrupted(&ended, status);
        assert!(
            ended.stdout.contains("Cut short: stuck, power"),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("Not run: stuck, kill"), "{ended:?}");
        place.no_process();
    }
    // The thread kept its directory: the next torture removes it.
    let args = [
        "run", "line-log", "--crash", "kill", "--seed", "7", "--rounds", "40", "--dir", scratch,
    ];
    let next = place.start(&example("line_log"), &args).end();
    assert_eq!(next.status, Some(0), "{next:?}");
    place.is_clean();
}

/// What hangs while the process ends keeps its directory: the next torture removes it.
#[test]
fn what_is_left_after_two_signals_the_next_torture_removes() {
    let place = Place::with_scripts(WRITER, CHECKER);
    let scratch = place.scratch();
    let mut args = Place::scripts("kill");
    args.extend(["--dir", scratch.to_str().expect("ASCII")]);
    let long: Vec<&str> = args.iter().copied().chain(["--duration", "1h"]).collect();
    let victim = place.start(&example("line_log"), &long);
    wait_until("it has begun", || victim.stderr().contains(": begins"));
    victim.send(SIGINT);
    victim.send(SIGTERM);
    let ended = victim.end();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    place.no_process();
    args.extend(["--rounds", "20"]);
    let next = place.start(&example("line_log"), &args).end();
    assert_eq!(next.status, Some(0), "{next:?}");
    place.is_clean();
}

/// A replay has one question, so the first signal is its end; shrinking keeps what it has.
#[test]
fn one_signal_ends_a_replay_whose_checker_never_ends() {
    let place = Place::with_scripts(super::victim::EARLY_WRITER, CHECKER);
    let args = [Place::scripts("kill"), vec!["--rounds", "400"]].concat();
    let found = place.start(&example("line_log"), &args).end();
    assert_eq!(found.status, Some(1), "{found:?}");
    std::fs::write(place.path().join("checker.sh"), "exec sleep 1000001").expect("written");
    let failure = std::fs::read_dir(place.failures()).expect("saved").next();
    let failure = failure.expect("one").expect("readable").path();
    let victim = place.start(
        &example("line_log"),
        &["replay", failure.to_str().expect("ASCII")],
    );
    let sleeps = || {
        place
            .processes()
            .iter()
            .any(|line| line.contains("sleep 1000001"))
    };
    wait_until("the checker sleeps", sleeps);
    victim.send(SIGINT);
    let ended = victim.end();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.stderr.contains("Interrupted"), "{ended:?}");
    place.is_clean();
}

#[test]
fn an_ablation_that_is_interrupted_has_missed_nothing() {
    let place = Place::new();
    let args = ["ablate", "sim-store", "--duration", "1h", "--seed", "1"];
    let victim = place.start(&example("sim_store"), &args);
    wait_until("it has begun", || victim.stderr().contains(": begins"));
    victim.send(SIGTERM);
    let ended = victim.end();
    assert_eq!(ended.status, Some(143), "{ended:?}");
    assert!(ended.stdout.contains("Interrupted"), "{ended:?}");
    assert!(!ended.stdout.contains("MISSED"), "{ended:?}");
    place.is_clean();
}

#[test]
fn one_signal_ends_litmus_and_leaves_nothing() {
    if let Err(why) = available(&FileSystem::ext4(), &std::env::temp_dir()) {
        eprintln!("litmus: skipped: ext4 on a recorded disk is unavailable here: {why}");
        return;
    }
    // On a busy machine the signal may come when all is done.
    for _ in 0..5 {
        let place = Place::new();
        let victim = place.start(&example("line_log"), &["litmus", "--fs", "ext4"]);
        let is_there = || std::fs::read_dir(place.scratch()).is_ok_and(|dir| dir.count() > 0);
        wait_until("it has begun", is_there);
        victim.send(SIGINT);
        let ended = victim.end();
        place.is_clean();
        if ended.status != Some(0) {
            assert_eq!(ended.status, Some(130), "{ended:?}");
            assert!(ended.stderr.contains("Interrupted"), "{ended:?}");
            return;
        }
    }
    panic!("a signal does not end it");
}

/// What it has is a failure still, so its status may be that of one.
#[test]
fn one_signal_ends_a_shrinking_and_leaves_nothing() {
    let place = Place::new();
    let args = [
        "run", "naive", "--crash", "syscall", "--rounds", "20", "--seed", "1", "--out", "failures",
    ];
    let found = place.start(&example("line_log"), &args).end();
    assert_eq!(found.status, Some(1), "{found:?}");
    let failure = std::fs::read_dir(place.failures()).expect("saved").next();
    let failure = failure.expect("one").expect("readable").path();
    let failure = failure.to_str().expect("ASCII");
    let args = ["shrink", failure, "--duration", "1h", "--out", "smaller"];
    let victim = place.start(&example("line_log"), &args);
    // Itself, and a child.
    wait_until("it has begun", || place.processes().len() > 1);
    victim.send(SIGINT);
    let ended = victim.end();
    assert!(matches!(ended.status, Some(1 | 130)), "{ended:?}");
    let told = [ended.stdout.as_str(), &ended.stderr].concat();
    assert!(told.contains("Interrupted"), "{ended:?}");
    place.is_clean();
}
