//! `O_DIRECT`, a mapping and `io_uring` on the recorded device: with their sync they pass, without it they are
//! caught; and what is caught can be mounted again and made small. Also a black box.
//!
//! Needs root, FUSE, loop devices and `mkfs.ext4`; says so and passes where one is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plugpull::disk::{FileSystem, available};

/// The `disk_ways` example, which `cargo test` has built beside this test.
fn disk_ways() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    profile.join("examples/disk_ways")
}

/// Runs it; `None` if this machine cannot.
fn run(test: &str, args: &[&str], out: &Path) -> Option<Output> {
    if let Err(why) = available(&FileSystem::ext4(), &std::env::temp_dir()) {
        eprintln!("{test}: SKIPPED, ext4 on a recorded disk is unavailable here: {why}");
        return None;
    }
    let mut command = Command::new(disk_ways());
    let output = command.args(args).current_dir(out).output();
    Some(output.expect("the example was built"))
}

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

fn torture(test: &str, store: &str, out: &Path) -> Option<Output> {
    let args = [
        "run",
        store,
        "--crash",
        "disk",
        "--fs",
        "ext4",
        "--rounds",
        "2",
        "--seed",
        "3",
        "--jobs",
        "1",
        "--out",
        "target/plugpull",
    ];
    run(test, &args, out)
}

#[test]
fn each_way_keeps_its_promises_with_its_sync() {
    let out = tempfile::tempdir().expect("a directory");
    for store in ["direct", "mapped", "ring"] {
        if let Some(output) = torture("each way with its sync", store, out.path()) {
            assert_eq!(output.status.code(), Some(0), "{store}: {}", told(&output));
        }
    }
}

#[test]
fn each_way_is_caught_without_its_sync_and_the_image_is_mounted_again_and_shrunk() {
    for store in ["direct/unsynced", "mapped/unsynced", "ring/unsynced"] {
        let out = tempfile::tempdir().expect("a directory");
        let Some(output) = torture("each way without its sync", store, out.path()) else {
            return;
        };
        assert_eq!(output.status.code(), Some(1), "{store}: {}", told(&output));
        let failures = std::fs::read_dir(out.path().join("target/plugpull")).expect("saved");
        let failure = failures.map(|entry| entry.expect("readable").path()).next();
        let failure = failure.expect("a failure was saved");
        let failure = failure.to_str().expect("ASCII");
        let again = run("", &["replay", failure], out.path()).expect("it could before");
        assert_eq!(again.status.code(), Some(1), "{}", told(&again));
        assert!(told(&again).contains("mounted again"), "{}", told(&again));
        let small = run("", &["shrink", failure], out.path()).expect("it could before");
        assert_eq!(small.status.code(), Some(1), "{}", told(&small));
        // Bytes that are on the disk are lost all the same if what says where they are is not.
        let [lost, unsent] = ["not flushed, lost in the cut", "had not reached the device"];
        let story = told(&small);
        let explained = story.contains(lost) || story.contains(unsent);
        assert!(explained, "{store}: {story}");
    }
}

/// With `nobarrier` the file system never asks the disk to flush: nobody keeps a promise on it, and the story
/// says where to look.
#[test]
fn a_mount_option_that_gives_up_flushes_is_named() {
    let out = tempfile::tempdir().expect("a directory");
    let args = [
        "run",
        "direct",
        "--crash",
        "disk",
        "--fs",
        "ext4",
        "--mount-options",
        "nobarrier",
        "--rounds",
        "4",
        "--seed",
        "1",
        "--jobs",
        "1",
        "--out",
        "target/plugpull",
    ];
    let Some(output) = run("nobarrier", &args, out.path()) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let failures = std::fs::read_dir(out.path().join("target/plugpull")).expect("saved");
    for failure in failures {
        let story = failure.expect("readable").path().join("README.md");
        let story = std::fs::read_to_string(story).expect("a story");
        assert!(story.contains("(mounted with nobarrier)"), "{story}");
    }
}
