//! How many crash states a second this machine examines, by file system and method; and what it costs a
//! writer that its device is recorded, beside a plain file under a loop device.
//!
//! ```text
//! cargo run --release -p plugpull --example disk_rate [ext4 xfs btrfs]
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use plugpull::disk::{
    Crashes, Disk, Examiner, FileSystem, FileSystemKind, Image, Method, Recording, Sampling, Site,
    available,
};

/// How long each is measured.
const LIMIT: Duration = Duration::from_secs(4);

fn main() -> io::Result<()> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |kind: &FileSystemKind| named.is_empty() || named.contains(&kind.to_string());
    let base = std::env::temp_dir();
    println!("fs      method        states/s   load  mount   look unmount (ms)");
    for kind in FileSystemKind::ALL.into_iter().filter(wanted) {
        let file_system = FileSystem::new(kind);
        if let Err(why) = available(&file_system, &base) {
            println!("{kind:<7} unavailable: {why}");
            continue;
        }
        let site = Site::enter(&base)?;
        let recording = record(&site, &file_system)?;
        let began = Instant::now();
        let crashes = Crashes::new(&recording, &Sampling::seeded(1).on(&file_system));
        println!(
            "{kind:<7} {} writes, {} flushes, {} states, planned in {:.1?}",
            recording.writes(),
            recording.flushes(),
            crashes.states().len(),
            began.elapsed(),
        );
        let (recorded, plain) = writer_times(&site, &file_system)?;
        println!(
            "{kind:<7} an append and its sync: {:.3} ms recorded, {:.3} ms on a plain loop file",
            recorded.as_secs_f64() * 1e3,
            plain.as_secs_f64() * 1e3,
        );
        for (name, method, sleepy) in [
            ("fuse, sleepy", Method::Fuse, true),
            ("fuse", Method::Fuse, false),
            ("zram, sleepy", Method::Zram, true),
            ("zram", Method::Zram, false),
        ] {
            if method == Method::Zram && Method::best() == Method::Fuse {
                continue;
            }
            let mut examiner = Examiner::with_method(&site, &file_system, method)?;
            if sleepy {
                examiner = examiner.sleepy();
            }
            measure(&format!("{kind:<7} {name:<12}"), &crashes, &mut examiner)?;
        }
    }
    Ok(())
}

/// Appends to one file and syncs it, then renames it, again and again.
fn record(site: &Site, file_system: &FileSystem) -> io::Result<Recording> {
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(site, Image::zeros(file_system.bytes), clock)?;
    disk.format(file_system)?;
    let (wrote, recording) = disk.record(file_system, |dir| -> io::Result<()> {
        for file_number in 0..4 {
            let spare = dir.join("spare");
            let mut file = File::create(&spare)?;
            for _ in 0..16 {
                file.write_all(&[7; 3000])?;
                file.sync_data()?;
            }
            fs::rename(spare, dir.join(format!("file-{file_number}")))?;
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    })?;
    wrote?;
    Ok(recording)
}

/// Appends and syncs a few hundred times, alternately on a recorded disk and on a loop device over a file;
/// the medians.
fn writer_times(site: &Site, file_system: &FileSystem) -> io::Result<(Duration, Duration)> {
    const ROUNDS: usize = 5;
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(site, Image::zeros(file_system.bytes), clock)?;
    disk.format(file_system)?;
    let plain = PlainLoop::mount(file_system)?;
    let (mut recorded, mut on_plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (times, _) = disk.record(file_system, appends)?;
        recorded.extend(times?);
        on_plain.extend(appends(plain.dir.path())?);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok((median(recorded), median(on_plain)))
}

fn appends(dir: &Path) -> io::Result<Vec<Duration>> {
    let path = dir.join("appends");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..60 {
        let began = Instant::now();
        file.write_all(&[7; 3000])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

/// A file system on a file, mounted by the programs that everybody uses.
struct PlainLoop {
    dir: tempfile::TempDir,
    _backing: tempfile::NamedTempFile,
}

impl PlainLoop {
    fn mount(file_system: &FileSystem) -> io::Result<Self> {
        let backing = tempfile::NamedTempFile::new()?;
        backing.as_file().set_len(file_system.bytes)?;
        let dir = tempfile::tempdir()?;
        let run = |command: &mut Command| {
            let status = command.status()?;
            let failed = || io::Error::other(format!("{command:?} ends with {status}"));
            status.success().then_some(()).ok_or_else(failed)
        };
        let mkfs = format!("mkfs.{}", file_system.kind);
        run(Command::new(mkfs)
            .args(&file_system.mkfs_args)
            .arg(backing.path()))?;
        let options = format!("loop,{}", file_system.mount_options);
        let mut mount = Command::new("mount");
        mount.args(["-o", options.trim_end_matches(',')]);
        run(mount.args([backing.path(), dir.path()]))?;
        Ok(Self {
            dir,
            _backing: backing,
        })
    }
}

impl Drop for PlainLoop {
    fn drop(&mut self) {
        // The loop device goes with the mount.
        if let Err(error) = Command::new("umount").arg(self.dir.path()).status() {
            eprintln!("cannot unmount {}: {error}", self.dir.path().display());
        }
    }
}

fn measure(name: &str, crashes: &Crashes<'_>, examiner: &mut Examiner) -> io::Result<()> {
    let began = Instant::now();
    for state in crashes.states().iter().cycle() {
        let image = crashes.image(&state.outcome).expect("of this recording");
        examiner.with_mounted(&image, look)??;
        if began.elapsed() > LIMIT {
            break;
        }
    }
    let spent = examiner.spent();
    let each = |time: Duration| time.as_secs_f64() * 1e3 / spent.images as f64;
    println!(
        "{name}  {:>8.0} {:>6.2} {:>6.2} {:>6.2} {:>7.2}",
        spent.images as f64 / began.elapsed().as_secs_f64(),
        each(spent.load),
        each(spent.mount),
        each(spent.look),
        each(spent.unmount),
    );
    Ok(())
}

/// Reads everything, as a recovery would.
fn look(dir: &Path) -> io::Result<usize> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            bytes += fs::read(entry.path())?.len();
        }
    }
    Ok(bytes)
}
