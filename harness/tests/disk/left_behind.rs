//! Nothing is left behind, not even by a run that is killed.

use std::collections::BTreeSet;
use std::fs::{self};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use plugpull::disk::{Disk, Examiner, FileSystem, Image, Method};

use crate::machine::{
    can, loop_devices_below, our_mounts, site, still_bound, wait_until, zram_devices,
};

/// Set for the process that is killed: what it is to do.
const ROLE: &str = "PLUGPULL_TEST_DISK_ROLE";

/// Not a test: what the process does that is killed by the test below.
#[test]
fn to_be_killed() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let ext4 = FileSystem::ext4();
    let site = site();
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), clock).expect("a disk");
    disk.format(&ext4).expect("formatted");
    let base = disk.image();
    let mounted = disk.mount(&ext4).expect("mounted");
    println!("{}", mounted.path().display());
    let method = if role == "fuse" {
        Method::Fuse
    } else {
        Method::best()
    };
    let mut examiner = Examiner::with_method(&site, &ext4, method).expect("an examiner");
    let before = zram_devices();
    examiner.with_mounted(&base, |_| ()).expect("mounted");
    let made = zram_devices()
        .into_iter()
        .find(|device| !before.contains(device));
    let made = made.filter(|_| method == Method::Zram);
    let name = made
        .as_deref()
        .and_then(Path::file_name)
        .unwrap_or_default();
    println!("{}", name.to_string_lossy());
    for count in 0_u64.. {
        // Always something unwritten, and something on its way.
        fs::write(mounted.path().join("file"), vec![1; 1 << 20]).expect("written");
        examiner
            .with_mounted(&base, |dir| fs::write(dir.join("file"), "x"))
            .expect("mounted")
            .expect("written");
        println!("{count}");
    }
}

/// A process of this program.
struct Victim(Child);

impl Victim {
    fn start(role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([
            "left_behind::to_be_killed",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]);
        let child = command.env(ROLE, role).stdout(Stdio::piped()).spawn();
        Self(child.expect("started"))
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        // It was seen to wait for itself, past any signal, while the last of its threads unmounted
        // its disk and had the only descriptor through which that disk could have answered.
        let mut ended = || self.0.try_wait().expect("a child of ours").is_some();
        wait_until("the killed process ends", &mut ended);
    }
}

#[test]
fn a_killed_run_leaves_nothing_after_the_next_start() {
    if !can("a killed run", &FileSystem::ext4()) {
        return;
    }
    // Others may come and go; what was there before our processes is not ours.
    let mut zram_left = BTreeSet::new();
    for (round, role) in ["fuse", "best", "fuse", "best"].into_iter().enumerate() {
        let mut victim = Victim::start(role);
        let output = victim.0.stdout.take().expect("piped");
        let mut lines = BufReader::new(output)
            .lines()
            .map(|line| line.expect("readable"));
        // Where it is: `../plugpull-run-X/mounts/disk-1`, printed behind the name of the test.
        let path = lines.find_map(|line| Some(line[line.find('/')?..].to_owned()));
        let path = PathBuf::from(path.expect("it says where it is"));
        let run = path.ancestors().nth(2).expect("three levels").to_owned();
        let zram = lines.next().expect("it says on what it examines");
        lines.by_ref().nth(round * 7).expect("it works");
        let devices = loop_devices_below(&run);
        assert!(!devices.is_empty(), "it has a disk now");
        assert_eq!(our_mounts(), [""; 0], "which no other process sees");
        victim.kill();

        // The next start.
        drop(site());
        // The kernel tears a dead process's namespace down on its own time.
        wait_until("its loop devices are gone", || !still_bound(&devices, &run));
        assert!(!run.exists(), "{} is left", run.display());
        assert_eq!(our_mounts(), [""; 0]);
        if !zram.is_empty() {
            zram_left.insert(PathBuf::from("/sys/block").join(zram));
        }
    }
    // A start that came before the kernel was done has left it to a later one.
    wait_until("its zram devices are gone", || {
        drop(site());
        let there = zram_devices();
        !zram_left.iter().any(|left| there.contains(left))
    });
}

#[test]
fn a_site_takes_everything_with_it_and_the_thread_back() {
    let ext4 = FileSystem::ext4();
    if !can("a site takes everything with it", &ext4) {
        return;
    }
    let here = fs::read_link("/proc/thread-self/ns/mnt").expect("procfs");
    let current = std::env::current_dir().expect("a directory");
    let site = site();
    assert_ne!(
        fs::read_link("/proc/thread-self/ns/mnt").expect("procfs"),
        here
    );
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)));
    let disk = disk.expect("a disk");
    disk.format(&ext4).expect("formatted");
    let mounted = disk.mount(&ext4).expect("mounted");
    let run = mounted
        .path()
        .ancestors()
        .nth(2)
        .expect("three levels")
        .to_owned();
    let devices = loop_devices_below(&run);
    assert_eq!(devices.len(), 1);
    // A process that is started here sees it, whatever it is.
    fs::write(mounted.path().join("file"), "seen").expect("written");
    let cat = Command::new("cat")
        .arg(mounted.path().join("file"))
        .output()
        .expect("started");
    assert_eq!(cat.stdout, b"seen");
    // A thread that starts here and has a site of its own does not keep ours busy.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let other = self::site();
            let ours = our_mounts().into_iter();
            assert_eq!(
                ours.filter(|line| line.contains(" - ext4 /dev/loop"))
                    .count(),
                0
            );
            drop(other);
        });
        other.join().expect("no panic");
    });
    mounted.unmount().expect("unmounted");
    drop((disk, site));
    // A process that another test starts may have had a copy of the descriptor for a moment.
    wait_until("the loop device is gone", || !still_bound(&devices, &run));
    assert!(!run.exists());
    assert_eq!(
        fs::read_link("/proc/thread-self/ns/mnt").expect("procfs"),
        here
    );
    assert_eq!(std::env::current_dir().expect("a directory"), current);
    assert_eq!(our_mounts(), [""; 0]);
}
