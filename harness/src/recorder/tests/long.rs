//! What a long recording costs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::followed::recorded;
use crate::recorder::{Disks, follow};
use crate::sim::{Disk, Profile};

const THREADS: u64 = 4;
/// Of each thread.
const WRITES: u64 = 22_500;
const WRITES_PER_SYNC: u64 = 9;
const MEMORY_MAX: u64 = 1 << 30;

/// The largest amount of memory that this process has had, in bytes.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.expect("it is told").parse().expect("a number");
    kib << 10
}

/// Four threads append to a log each, and sync now and then.
fn write(dir: &Path) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let file = File::create(dir.join(format!("log{thread}"))).expect("made");
                for write in 0..WRITES {
                    file.write_at(&[1; 100], 100 * write).expect("written");
                    if (write + 1).is_multiple_of(WRITES_PER_SYNC) {
                        file.sync_data().expect("synced");
                    }
                }
            });
        }
    });
}

#[test]
#[ignore = "100,000 calls: half a minute; run it alone, in release, with --nocapture, to see what they cost"]
fn a_long_recording_fits_in_memory() {
    let test = "long::a_long_recording_fits_in_memory";
    let began = Instant::now();
    let Some(traced) = recorded(test, Path::new("/dev/shm"), "", |dir, _| write(dir)) else {
        return;
    };
    let (calls, took) = (traced.steps.len(), began.elapsed());
    let told = |count: usize, took: f64| format!("{:.0} a second", count as f64 / took);
    eprintln!("{calls} calls, {}", told(calls, took.as_secs_f64()));
    assert!(calls >= 100_000, "{calls}");
    let began = Instant::now();
    let followed = follow(traced, Disk::new(Profile::Strict), Vec::new());
    let followed = followed.expect("it can be followed");
    let acts = followed.past.acts().len();
    eprintln!(
        "{acts} acts, followed at {}",
        told(acts, began.elapsed().as_secs_f64())
    );
    assert!(acts >= 100_000, "it is followed to its end: {acts}");
    let began = Instant::now();
    let moments: Vec<usize> = (0..acts).step_by(101).collect();
    for moment in &moments {
        followed.disk_at(*moment);
    }
    eprintln!(
        "disks of moments, {}",
        told(moments.len(), began.elapsed().as_secs_f64())
    );
    let memory = memory_peak();
    eprintln!("{} MiB at the most", memory >> 20);
    assert!(memory < MEMORY_MAX, "{memory} bytes");
}
