//! What this machine can, and what of ours is to be seen on it.

use std::fs::{self};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plugpull::disk::{FileSystem, FileSystemKind, Site, available};

/// Whether this machine can; if not, says what is missing.
pub(crate) fn can(test: &str, file_system: &FileSystem) -> bool {
    let found = available(file_system, &std::env::temp_dir());
    if let Err(why) = &found {
        eprintln!(
            "{test}: SKIPPED, {} is unavailable here: {why}",
            file_system.kind
        );
    }
    found.is_ok()
}

/// The file systems that this machine can make, after saying which it cannot.
pub(crate) fn possible(test: &str) -> Vec<FileSystem> {
    let all = FileSystemKind::ALL.map(FileSystem::new);
    all.into_iter()
        .filter(|file_system| can(test, file_system))
        .collect()
}

pub(crate) fn site() -> Site {
    Site::enter(&std::env::temp_dir()).expect("this machine can")
}

/// How long the kernel may take over what it does on its own time.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < PATIENCE,
            "still not after {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What of a run is to be seen on the machine: loop devices with a file in its directory.
pub(crate) fn loop_devices_below(dir: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").expect("sysfs");
    let devices = devices.filter_map(|device| Some(device.ok()?.path()));
    let bound = devices.filter(|device| {
        let file = fs::read_to_string(device.join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(&file).starts_with(dir))
    });
    bound.collect()
}

/// Which of these devices are bound still. With the mount, the directory has gone from the name.
pub(crate) fn still_bound(devices: &[PathBuf], run: &Path) -> bool {
    devices.iter().any(|device| {
        let file = fs::read_to_string(device.join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(&file).starts_with(run) || file.trim() == "/disk")
    })
}

/// What is mounted where this thread is, and is ours.
pub(crate) fn our_mounts() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs");
    mounts
        .lines()
        .filter(|line| line.contains("plugpull"))
        .map(str::to_owned)
        .collect()
}

/// The zram devices that the machine has.
pub(crate) fn zram_devices() -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").expect("sysfs").flatten();
    let devices = devices.filter(|device| device.file_name().to_string_lossy().starts_with("zram"));
    devices.map(|device| device.path()).collect()
}
