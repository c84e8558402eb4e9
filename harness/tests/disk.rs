//! Loss of power on real file systems: what was synced stays, what was not may go, and nothing of
//! ours is left behind.
//!
//! Needs root, FUSE, loop devices and the `mkfs` programs. Where one is missing, the tests say so and
//! pass.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use plugpull::disk::{
    Crashes, Disk, Examiner, FaultPlan, FileSystem, FileSystemKind, Image, Method, Recording,
    Sampling, Site, available, is_mount_refused,
};

/// Whether this machine can; if not, says what is missing.
fn can(test: &str, file_system: &FileSystem) -> bool {
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
fn possible(test: &str) -> Vec<FileSystem> {
    let all = FileSystemKind::ALL.map(FileSystem::new);
    all.into_iter()
        .filter(|file_system| can(test, file_system))
        .collect()
}

fn site() -> Site {
    Site::enter(&std::env::temp_dir()).expect("this machine can")
}

/// The file must begin with these bytes, whenever the plug is pulled at or after the index.
#[derive(Clone, Debug)]
struct Promise {
    index: u64,
    name: &'static str,
    bytes: Vec<u8>,
}

/// What a program did, and what it was promised.
struct Run {
    recording: Recording,
    promises: Vec<Promise>,
    /// The index at which an append had returned that nobody had synced, and how long the file is
    /// with it.
    unsynced: (u64, usize),
}

/// Creates, writes, syncs, renames, appends.
fn program(dir: &Path, clock: &AtomicU64) -> io::Result<(Vec<Promise>, (u64, usize))> {
    let now = || clock.load(Ordering::SeqCst);
    let mut promises = Vec::new();
    let mut promise = |name, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        promises.push(Promise {
            index: now(),
            name,
            bytes,
        });
    };
    let mut bytes = vec![b'a'; 5000];
    let mut file = File::create(dir.join("spare"))?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(dir.join("spare"), dir.join("log"))?;
    File::open(dir)?.sync_all()?;
    promise("log", &bytes);
    for round in 0..4_u8 {
        let more = vec![b'b' + round; 3000];
        file.write_all(&more)?;
        file.sync_data()?;
        bytes.extend(more);
        promise("log", &bytes);
    }
    let more = vec![b'z'; 3000];
    file.write_all(&more)?;
    bytes.extend(more);
    let unsynced = (now(), bytes.len());
    file.sync_all()?;
    promise("log", &bytes);
    Ok((promises, unsynced))
}

fn record(site: &Site, file_system: &FileSystem) -> Run {
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(site, Image::zeros(file_system.bytes), clock.clone()).expect("a disk");
    disk.format(file_system).expect("formatted");
    let ran = disk.record(file_system, |dir| program(dir, &clock));
    let (said, recording) = ran.expect("recorded");
    let (promises, unsynced) = said.expect("the program runs");
    Run {
        recording,
        promises,
        unsynced,
    }
}

fn sampling(file_system: &FileSystem) -> Sampling {
    let sampling = Sampling {
        subsets: 8,
        torn: 3,
        exhaustive_max: 3,
        ..Sampling::seeded(1)
    };
    sampling.on(file_system)
}

/// What a file holds; nothing if it is not there.
fn content(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The first promise that is not kept at an index.
fn broken(promises: &[Promise], index: u64, dir: &Path) -> io::Result<Option<Promise>> {
    for promise in promises.iter().filter(|promise| promise.index <= index) {
        let kept =
            content(dir, promise.name)?.is_some_and(|found| found.starts_with(&promise.bytes));
        if !kept {
            return Ok(Some(promise.clone()));
        }
    }
    Ok(None)
}

#[test]
fn every_prefix_mounts_and_what_was_synced_is_in_every_state() {
    for file_system in possible("what was synced is in every state") {
        let site = site();
        let run = record(&site, &file_system);
        let crashes = Crashes::new(&run.recording, &sampling(&file_system));
        assert!(
            crashes.states().len() > run.recording.writes(),
            "more than the prefixes"
        );
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        for state in crashes.states() {
            let image = crashes.image(&state.outcome).expect("of this recording");
            assert_eq!(image.fingerprint(), state.fingerprint);
            let looked =
                examiner.with_mounted(&image, |dir| broken(&run.promises, state.index(), dir));
            let found = looked.unwrap_or_else(|error| panic!("{state:?}: {error}"));
            let broken = found.expect("readable");
            assert!(
                broken.is_none(),
                "{}: {state:?} breaks the promise at {:?}",
                file_system.kind,
                broken.map(|promise| promise.index)
            );
        }
    }
}

#[test]
fn every_prefix_of_the_writes_is_a_state_up_to_the_last() {
    let ext4 = FileSystem::ext4();
    if !can("every prefix is a state", &ext4) {
        return;
    }
    let site = site();
    let recording = record(&site, &ext4).recording;
    for sampling in [Sampling::prefixes(), Sampling::seeded(1)] {
        let crashes = Crashes::new(&recording, &sampling);
        for index in recording.start..=recording.end {
            let image = recording.image_at(index);
            let mut states = crashes.states().iter();
            let state = states.find(|state| state.fingerprint == image.fingerprint());
            let state = state.unwrap_or_else(|| panic!("the prefix at {index} is missing"));
            assert!(
                state.is_possible_at(index),
                "the prefix at {index}: {state:?}"
            );
            assert_eq!(
                crashes.image(&state.outcome).expect("of this recording"),
                image
            );
        }
    }
}

#[test]
fn an_append_that_nobody_synced_is_lost_in_some_state() {
    for file_system in possible("an unsynced append is lost") {
        let site = site();
        let run = record(&site, &file_system);
        let (index, bytes) = run.unsynced;
        let crashes = Crashes::at(&run.recording, index, &sampling(&file_system));
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        let lost = crashes.states().iter().filter(|state| {
            let image = crashes.image(&state.outcome).expect("of this recording");
            let looked = examiner.with_mounted(&image, |dir| content(dir, "log"));
            let found = looked.expect("mounted").expect("readable");
            found.is_some_and(|found| found.len() < bytes)
        });
        assert!(lost.count() > 0, "{}: in none at {index}", file_system.kind);
    }
}

#[test]
fn one_recording_and_one_seed_give_the_same_states() {
    let ext4 = FileSystem::ext4();
    if !can("the same states", &ext4) {
        return;
    }
    let site = site();
    let recording = record(&site, &ext4).recording;
    let states = |seed| {
        Crashes::new(&recording, &Sampling::seeded(seed))
            .states()
            .to_vec()
    };
    assert_eq!(states(1), states(1));
    assert_ne!(states(1), states(2));
    let mut fingerprints: Vec<u64> = states(1).iter().map(|state| state.fingerprint).collect();
    let all = fingerprints.len();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), all, "no content appears twice");
}

#[test]
fn a_crash_inside_the_replay_of_the_journal_and_inside_recovery_loses_nothing() {
    for file_system in possible("a crash inside recovery") {
        let site = site();
        let run = record(&site, &file_system);
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        // Everything is promised at the end; the journal has not been written back.
        let image = run.recording.image_at(run.recording.end);
        let recovered = examiner.with_mounted_recorded(&image, |dir| {
            let mut log = File::options().write(true).open(dir.join("log"))?;
            log.seek(SeekFrom::End(0))?;
            log.write_all(b"recovered")?;
            log.sync_all()
        });
        let (said, recording) = recovered.expect("mounted");
        said.expect("recovered");
        assert_eq!(
            recording.base, image,
            "the replay of the journal is in the recording"
        );
        assert!(recording.writes() > 0 && recording.flushes() > 0);
        let crashes = Crashes::new(&recording, &sampling(&file_system));
        for state in crashes.states() {
            let image = crashes.image(&state.outcome).expect("of this recording");
            let looked = examiner.with_mounted(&image, |dir| broken(&run.promises, u64::MAX, dir));
            let found = looked.unwrap_or_else(|error| panic!("{state:?}: {error}"));
            assert!(
                found.expect("readable").is_none(),
                "{}: {state:?}",
                file_system.kind
            );
        }
    }
}

#[test]
fn an_examiner_shows_each_image_as_it_is_whatever_was_written_to_the_last() {
    for file_system in possible("an examiner shows each image as it is") {
        let site = site();
        let run = record(&site, &file_system);
        let full = run.recording.image_at(run.recording.end);
        for method in [Method::Fuse, Method::best()] {
            let examiner = Examiner::with_method(&site, &file_system, method);
            let mut examiner = examiner.expect("an examiner");
            for image in [&full, &run.recording.base, &full] {
                let before = image.fingerprint();
                let looked = examiner.with_mounted(image, |dir| -> io::Result<bool> {
                    assert!(!dir.join("new").exists(), "from the last image");
                    fs::write(dir.join("new"), vec![1; 100_000])?;
                    File::open(dir)?.sync_all()?;
                    Ok(dir.join("log").exists())
                });
                let has_log = looked.expect("mounted").expect("written");
                assert_eq!(
                    has_log,
                    *image == full,
                    "{} on {method:?}",
                    file_system.kind
                );
                assert_eq!(image.fingerprint(), before, "the image stays as it is");
            }
        }
    }
}

#[test]
fn an_image_without_a_file_system_is_refused_and_the_examiner_goes_on() {
    for file_system in possible("an image without a file system") {
        let site = site();
        let run = record(&site, &file_system);
        for method in [Method::Fuse, Method::best()] {
            let examiner = Examiner::with_method(&site, &file_system, method);
            let mut examiner = examiner.expect("an examiner");
            let nothing = Image::zeros(file_system.bytes);
            let error = examiner
                .with_mounted(&nothing, |_| ())
                .expect_err("it cannot be mounted");
            assert!(is_mount_refused(&error), "{error}");
            examiner
                .with_mounted(&run.recording.base, |_| ())
                .expect("mounted");
        }
    }
}

#[test]
fn a_file_left_open_is_an_error_and_the_examiner_goes_on() {
    let ext4 = FileSystem::ext4();
    if !can("a file left open", &ext4) {
        return;
    }
    let site = site();
    let run = record(&site, &ext4);
    let full = run.recording.image_at(run.recording.end);
    for method in [Method::Fuse, Method::best()] {
        let mut examiner = Examiner::with_method(&site, &ext4, method).expect("an examiner");
        let mut open = None;
        let looked = examiner.with_mounted(&full, |dir| open = File::open(dir.join("log")).ok());
        let error = looked.expect_err("the file is open");
        assert!(
            !is_mount_refused(&error) && error.to_string().contains("unmount"),
            "{error}"
        );
        let looked = examiner.with_mounted(&run.recording.base, |dir| dir.join("log").exists());
        assert!(
            !looked.expect("mounted"),
            "another image, while the first is in use"
        );
        drop(open);
    }
}

#[test]
fn several_examiners_work_at_once() {
    for file_system in possible("several examiners") {
        let recording = record(&site(), &file_system).recording;
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (recording, file_system) = (&recording, &file_system);
                scope.spawn(move || {
                    let site = site();
                    let mut examiner = Examiner::new(&site, file_system).expect("an examiner");
                    let crashes = Crashes::new(recording, &Sampling::prefixes());
                    for state in crashes.states().iter().skip(worker).step_by(2) {
                        let image = crashes.image(&state.outcome).expect("of this recording");
                        let looked = examiner.with_mounted(&image, |dir| content(dir, "log"));
                        looked.expect("mounted").expect("readable");
                    }
                });
            }
        });
    }
}

#[test]
fn a_discard_reaches_the_disk_and_is_a_write_like_any_other() {
    let ext4 = FileSystem::ext4();
    if !can("a discard", &ext4) {
        return;
    }
    let site = site();
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)));
    let disk = disk.expect("a disk");
    let options = File::options().read(true).write(true).open(disk.path());
    let mut device = options.expect("opened");
    device.write_all(&[7; 16384]).expect("written");
    device.sync_all().expect("synced");
    disk.start_recording();
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&device, hole, 4096, 8192).expect("discarded");
    device.sync_all().expect("synced");
    let recording = disk.stop_recording().expect("it was begun");
    let there = |image: &Image| [0, 1, 2, 3].map(|page| image.page_bytes(page).is_some());
    assert_eq!(there(&recording.base), [true; 4]);
    assert_eq!(there(&disk.image()), [true, false, false, true]);
    assert_eq!(
        there(&recording.image_at(recording.end)),
        [true, false, false, true]
    );
    let ranges = recording.entries.iter().map(|entry| entry.request.range());
    assert_eq!(ranges.collect::<Vec<_>>(), [Some((4096, 8192)), None]);
    let crashes = Crashes::new(&recording, &Sampling::prefixes());
    let possible = |index| {
        crashes
            .states()
            .iter()
            .filter(move |state| state.is_possible_at(index))
    };
    assert_eq!(possible(recording.start + 1).count(), 2, "until the flush");
    assert_eq!(possible(recording.end).count(), 1);
}

#[test]
fn a_flush_that_fails_reaches_the_sync_that_asked_for_it() {
    for file_system in possible("a flush that fails") {
        let site = site();
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock).expect("a disk");
        disk.format(&file_system).expect("formatted");
        let mounted = disk.mount(&file_system).expect("mounted");
        let mut file = File::create(mounted.path().join("file")).expect("created");
        file.write_all(&[1; 5000]).expect("written");
        file.sync_all().expect("nothing is planned yet");
        disk.start_recording();
        disk.plan_faults(FaultPlan::default().fail_flush(1).for_good());
        file.write_all(&[2; 5000]).expect("into the page cache");
        let error = file.sync_all().expect_err("the flush fails");
        let kind = file_system.kind;
        assert_eq!(error.raw_os_error(), Some(5), "{kind}: {error}");
        assert!(disk.faults() > 0);
        let recording = disk.stop_recording().expect("it was begun");
        let failed = recording
            .entries
            .iter()
            .filter(|entry| entry.failed)
            .count();
        assert!(failed > 0, "{kind}: the recording knows");
        assert_eq!(recording.flushes(), 0, "{kind}: nothing has become durable");
    }
}

#[test]
fn a_write_that_fails_reaches_the_sync_that_asked_for_it() {
    let ext4 = FileSystem::ext4();
    if !can("a write that fails", &ext4) {
        return;
    }
    let site = site();
    let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)));
    let disk = disk.expect("a disk");
    disk.format(&ext4).expect("formatted");
    let mounted = disk.mount(&ext4).expect("mounted");
    let mut file = File::create(mounted.path().join("file")).expect("created");
    file.write_all(&[1; 4096]).expect("written");
    file.sync_all().expect("nothing is planned yet");
    disk.plan_faults(FaultPlan::default().fail_write(1));
    file.rewind().expect("rewound");
    file.write_all(&[2; 4096]).expect("into the page cache");
    let error = file.sync_data().expect_err("the write fails");
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert_eq!(disk.faults(), 1, "one and no more");
}

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

/// How long the kernel may take over what it does on its own time.
const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < PATIENCE,
            "still not after {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A process of this program.
struct Victim(Child);

impl Victim {
    fn start(role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["to_be_killed", "--exact", "--nocapture", "--test-threads=1"]);
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

/// What of a run is to be seen on the machine: loop devices with a file in its directory.
fn loop_devices_below(dir: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").expect("sysfs");
    let devices = devices.filter_map(|device| Some(device.ok()?.path()));
    let bound = devices.filter(|device| {
        let file = fs::read_to_string(device.join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(&file).starts_with(dir))
    });
    bound.collect()
}

/// Which of these devices are bound still. With the mount, the directory has gone from the name.
fn still_bound(devices: &[PathBuf], run: &Path) -> bool {
    devices.iter().any(|device| {
        let file = fs::read_to_string(device.join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(&file).starts_with(run) || file.trim() == "/disk")
    })
}

/// What is mounted where this thread is, and is ours.
fn our_mounts() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs");
    mounts
        .lines()
        .filter(|line| line.contains("plugpull"))
        .map(str::to_owned)
        .collect()
}

/// The zram devices that the machine has.
fn zram_devices() -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").expect("sysfs").flatten();
    let devices = devices.filter(|device| device.file_name().to_string_lossy().starts_with("zram"));
    devices.map(|device| device.path()).collect()
}

#[test]
fn a_killed_run_leaves_nothing_after_the_next_start() {
    if !can("a killed run", &FileSystem::ext4()) {
        return;
    }
    // Others may come and go; what was there when nobody of ours was is not ours.
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
        assert_eq!(our_mounts(), [""; 0], "which nobody else sees");
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
    // Somebody who starts here and has a site of their own does not keep ours busy.
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
