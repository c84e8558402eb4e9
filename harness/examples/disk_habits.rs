//! What stores do to a disk besides writing: many files, large preallocations, files and processes left
//! behind. The disk of a torture has to bear it, and blames a store only for what it does wrong.
//!
//! ```sh
//! cargo build --release -p plugpull --example disk_habits
//! sudo target/release/examples/disk_habits run many-files preallocates --crash disk --fs ext4
//! sudo target/release/examples/disk_habits run preallocates --crash disk --fs ext4 --disk-size 16M    # exit status 2
//! ```
//!
//! Each is the same log of slots, and acknowledges a record after its sync.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::fcntl::{FallocateFlags, fallocate};
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

fn main() -> ExitCode {
    let subjects = HABITS.map(|(name, habit)| Box::new(Slots { name, habit }) as Box<dyn Subject>);
    plugpull::cli::main(&subjects)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Makes 500 small files.
    ManyFiles,
    /// Makes its file 64 MiB long, with blocks.
    Preallocates,
    /// Stops, and says something that has nothing to do with the disk.
    Fails,
    /// Fills the disk but for a little, and does not sync.
    FillsAndForgets,
    /// Its recovery leaves its file open.
    Leaks,
    /// The same, and its writer does not sync.
    LeaksAndForgets,
    /// Its writer leaves a process behind that works in its directory.
    LeavesDaemon,
    /// The same in a mount namespace of its own.
    LeavesMount,
}

const HABITS: [(&str, Habit); 8] = [
    ("many-files", Habit::ManyFiles),
    ("preallocates", Habit::Preallocates),
    ("fails", Habit::Fails),
    ("fills-and-forgets", Habit::FillsAndForgets),
    ("leaks", Habit::Leaks),
    ("leaks-and-forgets", Habit::LeaksAndForgets),
    ("leaves-daemon", Habit::LeavesDaemon),
    ("leaves-mount", Habit::LeavesMount),
];

struct Slots {
    name: &'static str,
    habit: Habit,
}

const NAME: &str = "slots";
const SLOT_BYTES: usize = 8192;
const FILES: usize = 500;
const PREALLOCATED_BYTES: i64 = 64 << 20;
/// What is left of a disk that is all but full, in bytes.
const LEFT_BYTES: u64 = 512 << 10;

impl Subject for Slots {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let used = records(run.dir)?.len();
        let file = open(run.dir)?;
        match self.habit {
            Habit::ManyFiles => make_files(run.dir)?,
            Habit::Preallocates => {
                fallocate(&file, FallocateFlags::empty(), 0, PREALLOCATED_BYTES)?;
            }
            Habit::FillsAndForgets => fill(run.dir)?,
            Habit::LeavesDaemon => leave(run.dir, &["sleep"])?,
            Habit::LeavesMount => leave(Path::new("/"), &["unshare", "-m", "sleep"])?,
            Habit::Fails | Habit::Leaks | Habit::LeaksAndForgets => {}
        }
        file.sync_all()?;
        File::open(run.dir)?.sync_all()?;
        for (number, action) in run.workload.actions(0).enumerate() {
            if self.habit == Habit::Fails && number == 3 {
                return Err("the index is upside down".into());
            }
            let slot = used + number;
            run.recorder.attempt(action.id);
            let record = encode(slot, &run.workload.payload(action.id));
            file.write_all_at(&record, (slot * SLOT_BYTES) as u64)?;
            if !matches!(self.habit, Habit::FillsAndForgets | Habit::LeaksAndForgets) {
                file.sync_data()?;
            }
            run.recorder.ack(action.id, slot as u64);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        for (slot, record) in records(run.dir)?.iter().enumerate() {
            survivors.push(slot as u64, record);
        }
        if matches!(self.habit, Habit::Leaks | Habit::LeaksAndForgets) {
            std::mem::forget(open(run.dir)?);
        }
        Ok(())
    }
}

fn open(dir: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(dir.join(NAME))
}

fn make_files(dir: &Path) -> io::Result<()> {
    for number in 0..FILES {
        fs::write(dir.join(format!("file-{number}")), b"small")?;
    }
    Ok(())
}

/// Takes all blocks but a few.
fn fill(dir: &Path) -> io::Result<()> {
    let free = nix::sys::statvfs::statvfs(dir)?;
    let free = free.blocks_available() * free.fragment_size();
    let mut options = File::options();
    let ballast = options
        .append(true)
        .create(true)
        .open(dir.join("ballast"))?;
    let old = ballast.metadata()?.len();
    if let Some(more) = free.checked_sub(LEFT_BYTES).filter(|more| *more > 0) {
        let [old, more] = [old, more].map(|bytes| i64::try_from(bytes).expect("a small disk"));
        fallocate(&ballast, FallocateFlags::empty(), old, more)?;
    }
    Ok(())
}

/// Starts a process in a session of its own, where the end of its parent does not reach it.
fn leave(dir: &Path, command: &[&str]) -> io::Result<()> {
    let mut process = Command::new("setsid");
    process.arg("-f").args(command).arg("3600").current_dir(dir);
    let null = || Stdio::null();
    process.stdin(null()).stdout(null()).stderr(null());
    process.status().map(drop)
}

/// The records up to the first slot that holds none.
fn records(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = match File::open(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut records = Vec::new();
    let mut bytes = vec![0; SLOT_BYTES];
    loop {
        let slot = records.len();
        match file.read_exact_at(&mut bytes, (slot * SLOT_BYTES) as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(records),
            read => read?,
        }
        match decode(slot, &bytes) {
            Some(record) => records.push(record),
            None => return Ok(records),
        }
    }
}

/// Number, length, checksum of all of it, record.
fn encode(slot: usize, record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend((slot as u64).to_le_bytes());
    bytes.extend((record.len() as u64).to_le_bytes());
    bytes.extend(checksum(&bytes, record).to_le_bytes());
    bytes.extend(record);
    bytes.resize(SLOT_BYTES, 0);
    bytes
}

fn decode(slot: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a whole slot"));
    let len = usize::try_from(word(8)).ok()?;
    let record = bytes[24..].get(..len)?;
    let valid = word(0) == slot as u64 && word(16) == checksum(&bytes[..16], record);
    valid.then(|| record.to_vec())
}

fn checksum(header: &[u8], record: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(&[header, record].concat())
}
