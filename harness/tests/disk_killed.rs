//! A torture on a real disk that is killed or interrupted leaves the machine as it was.
//!
//! Needs root, FUSE, loop devices and `mkfs.ext4`; says so and passes where one is missing.

mod wait;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull::disk::{FileSystem, available};

use wait::wait_until;

/// The `disk_ways` example, which `cargo test` has built beside this test.
fn torture(scratch: &Path, budget: [&str; 2]) -> Command {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let mut command = Command::new(profile.join("examples/disk_ways"));
    command
        .args(["run", "direct", "--crash", "disk", "--fs", "ext4"])
        .args(["--seed", "3", "--jobs", "2", "--json"])
        .args(budget)
        .arg("--dir")
        .arg(scratch)
        .current_dir(scratch.parent().expect("it is in a directory"))
        .stdout(Stdio::null());
    command
}

/// A torture under way. Killed when dropped.
struct Victim(Child);

impl Victim {
    fn start(scratch: &Path) -> Self {
        let child = torture(scratch, ["--duration", "10m"]).spawn();
        Self(child.expect("the example was built"))
    }

    fn send(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    fn end(&mut self) -> ExitStatus {
        self.0.wait().expect("it is our child")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What files under loop devices lie below a directory.
fn loops_below(dir: &Path) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").expect("sysfs").flatten();
    let backing = devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    let name = dir.file_name().expect("named").to_str().expect("ASCII");
    backing.filter(|file| file.contains(name)).collect()
}

/// The zram devices that a process has claimed.
fn zram_of(process: u32) -> Vec<PathBuf> {
    let Ok(claims) = fs::read_dir("/run/plugpull") else {
        return Vec::new();
    };
    let claims = claims.flatten().map(|claim| claim.path());
    let owner = format!("plugpull-{process} in");
    let is_its =
        |claim: &PathBuf| fs::read_to_string(claim).is_ok_and(|text| text.contains(&owner));
    let claimed = claims.filter(is_its).map(|claim| {
        let device = claim.file_name().expect("it was listed").to_owned();
        Path::new("/sys/block").join(device)
    });
    claimed.collect()
}

/// Mounts that others can see.
fn mounts_below(dir: &Path) -> Vec<String> {
    let name = dir.file_name().expect("named").to_str().expect("ASCII");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let ours = mounts.lines().filter(|line| line.contains(name));
    ours.map(str::to_owned).collect()
}

/// A directory of a unique name, in which stores are tortured.
fn scratch(test: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    if let Err(why) = available(&FileSystem::ext4(), &std::env::temp_dir()) {
        eprintln!("{test}: SKIPPED, ext4 on a recorded disk is unavailable here: {why}");
        return None;
    }
    let out = tempfile::tempdir().expect("a directory");
    let name = out
        .path()
        .file_name()
        .expect("named")
        .to_str()
        .expect("ASCII");
    let scratch = out.path().join(format!("killed{name}"));
    fs::create_dir(&scratch).expect("a new directory");
    Some((out, scratch))
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).expect("readable").next().is_none()
}

#[test]
fn what_a_killed_torture_leaves_the_next_one_removes() {
    let Some((_out, scratch)) = scratch("a killed torture") else {
        return;
    };
    let has_zram = Path::new("/sys/class/zram-control/hot_add").exists();
    // Killed as soon as there is a disk; and when there is something to examine states on.
    for examines in [false, true] {
        let mut victim = Victim::start(&scratch);
        let id = victim.0.id();
        wait_until("it has a disk", || !loops_below(&scratch).is_empty());
        let mut zram = Vec::new();
        if examines && has_zram {
            wait_until("it examines", || {
                zram = zram_of(id);
                !zram.is_empty()
            });
        }
        victim.send(Signal::SIGKILL);
        victim.end();
        assert_eq!(
            mounts_below(&scratch),
            [""; 0],
            "nobody else sees its mounts"
        );
        // The kernel tears down on its own time, and what it has not let go of yet is left to a later
        // start.
        wait_until("the next start has removed everything", || {
            let again = torture(&scratch, ["--rounds", "1"]).status();
            assert_eq!(again.expect("it starts").code(), Some(0), "it starts again");
            loops_below(&scratch).is_empty() && zram_of(id).is_empty() && is_empty(&scratch)
        });
    }
}

#[test]
fn an_interrupted_torture_says_what_it_has_seen_and_leaves_nothing() {
    let Some((_out, scratch)) = scratch("an interrupted torture") else {
        return;
    };
    let mut victim = Victim::start(&scratch);
    let id = victim.0.id();
    wait_until("it has a disk", || !loops_below(&scratch).is_empty());
    victim.send(Signal::SIGINT);
    let status = victim.end();
    assert_eq!(status.code(), Some(130), "{status}");
    wait_until("its disks are gone", || loops_below(&scratch).is_empty());
    assert_eq!(zram_of(id), [""; 0].map(PathBuf::from));
    assert_eq!(mounts_below(&scratch), [""; 0]);
    assert!(
        is_empty(&scratch),
        "a directory is left in {}",
        scratch.display()
    );
}
