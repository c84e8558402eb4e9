//! What stores do to the harness's own disk: it bears it, and what it does not bear is never told as the
//! store's failure. Each case has a twin with a real bug, which is caught.
//!
//! Needs root, FUSE, loop devices and `mkfs.ext4`; says so and passes where one is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plugpull::disk::{FileSystem, FileSystemKind, available};
use serde_json::Value;

/// The `disk_habits` example, which `cargo test` has built with this test.
fn habits() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    profile.join("examples/disk_habits")
}

/// A finished torture.
struct Ran {
    status: Option<i32>,
    /// What it said, JSON and messages.
    told: String,
    /// Its row.
    row: Value,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        let row = out.lines().next().unwrap_or_default();
        Self {
            status: output.status.code(),
            told: format!("{out}{err}"),
            row: serde_json::from_str(row).unwrap_or_default(),
        }
    }

    fn count(&self, counter: &str) -> u64 {
        let count = self.row[counter].as_u64();
        count.unwrap_or_else(|| panic!("no {counter}: {}", self.told))
    }

    /// It ran to its end and broke nothing.
    fn passed(&self) {
        assert_eq!(self.status, Some(0), "{}", self.told);
        assert!(self.count("crash_states") > 20, "{}", self.told);
        assert!(self.count("acked") > 0, "{}", self.told);
    }

    fn found_a_violation(&self) {
        assert_eq!(self.status, Some(1), "{}", self.told);
        assert!(self.count("violations") > 0, "{}", self.told);
    }

    /// It is the machine's failure, with these words in its message.
    fn blamed_the_disk(&self, words: &[&str]) {
        assert_eq!(self.status, Some(2), "{}", self.told);
        assert!(!self.told.contains("VIOLATION"), "{}", self.told);
        for word in words {
            assert!(self.told.contains(word), "no '{word}' in: {}", self.told);
        }
    }
}

/// Whether this machine can; if not, says what is missing.
fn can(test: &str, kind: FileSystemKind) -> bool {
    let found = available(&FileSystem::new(kind), &std::env::temp_dir());
    if let Err(why) = &found {
        eprintln!("{test}: SKIPPED, {kind} on a recorded disk is unavailable here: {why}");
    }
    found.is_ok()
}

fn torture(store: &str, kind: FileSystemKind, more: &[&str]) -> Ran {
    let out = tempfile::tempdir().expect("a directory");
    let scratch = out.path().join("scratch");
    fs::create_dir(&scratch).expect("a new directory");
    let mut command = Command::new(habits());
    command
        .args(["run", store, "--crash", "disk", "--fs", kind.name()])
        .args(["--seed", "5", "--jobs", "1", "--json", "--dir"])
        .arg(&scratch)
        .arg("--out")
        .arg(out.path().join("failures"))
        .args(more)
        .current_dir(out.path());
    let ran = Ran::of(&command.output().expect("the example was built"));
    assert_nothing_is_left(&scratch);
    ran
}

/// No mount, no process and no directory of a run.
fn assert_nothing_is_left(scratch: &Path) {
    let left: Vec<_> = fs::read_dir(scratch).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
    let name = scratch.to_str().expect("ASCII");
    for process in fs::read_dir("/proc").expect("procfs").flatten() {
        let read = |what| fs::read_to_string(process.path().join(what)).unwrap_or_default();
        let id = process.file_name();
        assert!(
            !read("mountinfo").contains(name),
            "a mount in {}",
            id.display()
        );
        assert!(!read("environ").contains(name), "process {}", id.display());
    }
}

const ROUNDS: [&str; 2] = ["--rounds", "2"];

#[test]
fn a_store_of_many_files_finds_inodes_for_them() {
    // The others have no fixed number of them.
    let ext4 = FileSystemKind::Ext4;
    if can("many files", ext4) {
        torture("many-files", ext4, &ROUNDS).passed();
    }
}

#[test]
fn a_store_that_preallocates_64_mib_finds_room_for_it() {
    for kind in FileSystemKind::ALL {
        if can("a preallocation", kind) {
            torture("preallocates", kind, &ROUNDS).passed();
        }
    }
}

#[test]
fn a_disk_that_was_made_too_small_is_to_blame_and_the_way_out_is_named() {
    let ext4 = FileSystemKind::Ext4;
    if !can("a small disk", ext4) {
        return;
    }
    let small = torture(
        "preallocates",
        ext4,
        &["--rounds", "2", "--disk-size", "16M"],
    );
    small.blamed_the_disk(&["ext4", "16 MiB", "--disk-size", "KiB"]);
    let inodes = ["--rounds", "2", "--mkfs-options=-N 64"];
    let few = torture("many-files", ext4, &inodes);
    few.blamed_the_disk(&["ext4", "inodes", "--mkfs-options '-N "]);
}

#[test]
fn a_store_that_fails_for_another_reason_is_to_blame() {
    let ext4 = FileSystemKind::Ext4;
    if can("another reason", ext4) {
        let ran = torture("fails", ext4, &["--rounds", "8"]);
        ran.found_a_violation();
        assert!(
            ran.told.contains("the index is upside down"),
            "{}",
            ran.told
        );
    }
}

#[test]
fn a_store_that_loses_an_entry_on_a_disk_that_is_all_but_full_is_caught() {
    let ext4 = FileSystemKind::Ext4;
    if can("a disk all but full", ext4) {
        let ran = torture(
            "fills-and-forgets",
            ext4,
            &["--rounds", "8", "--disk-size", "16M"],
        );
        ran.found_a_violation();
        assert!(ran.told.contains("lost"), "{}", ran.told);
    }
}

#[test]
fn a_recovery_that_leaves_a_file_open_is_examined_in_every_state() {
    let ext4 = FileSystemKind::Ext4;
    if can("a leaky recovery", ext4) {
        torture("leaks", ext4, &ROUNDS).passed();
        torture("leaks-and-forgets", ext4, &["--rounds", "8"]).found_a_violation();
    }
}

#[test]
fn a_process_that_a_writer_leaves_on_the_disk_is_ended() {
    let ext4 = FileSystemKind::Ext4;
    if can("a process left behind", ext4) {
        torture("leaves-daemon", ext4, &ROUNDS).passed();
        torture("leaves-mount", ext4, &ROUNDS).passed();
    }
}
