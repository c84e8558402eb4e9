//! Places in which something is missing that a recorded disk needs: it works all the same, or says what is
//! missing.
//!
//! Needs root, FUSE, loop devices, `mkfs.ext4`, `unshare` and `setpriv`; says so and passes where one is
//! missing.

use std::path::PathBuf;
use std::process::{Command, Output};

use plugpull::disk::{FileSystem, available};

/// The `disk_ways` example, which `cargo test` has built with this test.
fn disk_ways() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    profile.join("examples/disk_ways")
}

/// Runs a torture after `preparation`, a shell script in a mount namespace of its own; `None` if this
/// machine cannot.
fn torture_after(test: &str, preparation: &str) -> Option<Output> {
    if let Err(why) = available(&FileSystem::ext4(), &std::env::temp_dir()) {
        eprintln!("{test}: SKIPPED, ext4 on a recorded disk is unavailable here: {why}");
        return None;
    }
    let namespace = ["-m", "--propagation", "private"];
    let tried = Command::new("unshare").args(namespace).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("{test}: SKIPPED, there is no program `unshare` that works here");
        return None;
    }
    let out = tempfile::tempdir().expect("a directory");
    // A run that waits for itself would keep others from their disks as well.
    let script = format!("set -e\n{preparation}\nexec timeout -s KILL 300 \"$@\"");
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", &script, "sh"]);
    command.arg(disk_ways());
    command.args(["run", "direct", "--crash", "disk", "--fs", "ext4"]);
    command.args(["--rounds", "2", "--seed", "3", "--jobs", "1"]);
    command.arg("--dir").arg(out.path().join("scratch"));
    command.current_dir(out.path());
    Some(command.output().expect("`unshare` was there before"))
}

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// The torture ran to its end.
fn passes_after(test: &str, preparation: &str) {
    if let Some(output) = torture_after(test, preparation) {
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
}

/// The torture says what is missing.
fn says_after(test: &str, preparation: &str, words: &[&str]) {
    if let Some(output) = torture_after(test, preparation) {
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for word in words {
            assert!(told.contains(word), "no '{word}' in: {told}");
        }
    }
}

/// What a small container has in `/dev`.
const BARE_DEV: &str = "
    mount -t tmpfs tmpfs /dev
    mknod -m 666 /dev/null c 1 3
    mknod -m 666 /dev/zero c 1 5
    mknod -m 666 /dev/urandom c 1 9
    mkdir -m 1777 /dev/shm";

#[test]
fn without_nodes_for_its_devices_a_run_makes_its_own() {
    passes_after("no device nodes", BARE_DEV);
}

#[test]
fn a_missing_mkfs_is_named_with_its_package() {
    let preparation = "
        for dir in /usr/sbin /sbin /usr/local/sbin; do mount -t tmpfs tmpfs $dir; done
        PATH=/usr/bin:/bin
        if command -v mkfs.ext4; then echo 'no mkfs.ext4; e2fsprogs'; exit 2; fi";
    says_after("no mkfs", preparation, &["mkfs.ext4", "e2fsprogs"]);
}

/// A container shows the modules of its own distribution, if any: the kernel may load another's.
#[test]
fn a_kernel_whose_modules_cannot_be_seen_is_tried() {
    let preparation = "
        if [ -d /lib/modules ]; then mount -t tmpfs tmpfs /lib/modules; fi
        echo 'nodev tmpfs' > filesystems
        mount --bind filesystems /proc/filesystems";
    passes_after("modules out of sight", preparation);
}

#[test]
fn a_root_that_may_not_mount_is_told_what_to_do() {
    let test = "root without privileges";
    let tried = Command::new("setpriv").arg("--version").output();
    if tried.is_err() {
        eprintln!("{test}: SKIPPED, there is no program `setpriv`");
        return;
    }
    let preparation = "set -- setpriv --bounding-set=-sys_admin \"$@\"";
    says_after(test, preparation, &["--privileged"]);
}
