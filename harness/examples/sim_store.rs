//! A log that is tested on two file systems: the real one, where it is killed, and a simulated one,
//! where the power goes, the disk fails and bytes rot.
//!
//! ```sh
//! cargo run --release -p plugpull --example sim_store -- run sim-store --crash power,fault,rot
//! cargo run --release -p plugpull --example sim_store -- run sim-store/no-sync --crash kill     # pass!
//! cargo run --release -p plugpull --example sim_store -- run sim-store/no-sync --crash power    # exit status 1
//! ```
//!
//! All its I/O goes through [`FileSystem`], which [`OsFs`] and [`SimFs`] implement; a store that has a
//! seam of its own adapts that to [`SimFs`], which has the calls of `std::fs`. `sim-store/oversync` is the
//! correct store, stricter than it has to be (`Oversync`). The store beside the
//! correct one that you choose makes one mistake ([`Mistake`]). All mistakes are syncs that are
//! missing or late: a kill finds none of them, because the page cache outlives the process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plugpull::sim::{FileHandle, FileSystem, OpenOptions, OsFs, SimFs};
use plugpull::{
    Recorder, RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors,
    Workload, WriteRun,
};
use twox_hash::XxHash3_64;

fn main() -> ExitCode {
    plugpull::cli::main(&[
        Box::new(SimStore::new(Mistake::None)),
        Box::new(SimStore::new(Mistake::NoSync)),
        Box::new(SimStore::new(Mistake::NoDirectorySync)),
        Box::new(SimStore::new(Mistake::RenameBeforeSync)),
        Box::new(SimStore::oversyncing()),
    ])
}

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Nothing.
    None,
    /// It acknowledges what it has written and not synced.
    NoSync,
    /// It does not sync the directory after a rename: the whole file can vanish, whatever was
    /// synced in it.
    NoDirectorySync,
    /// It renames the new file over the old one first, and syncs its bytes then.
    RenameBeforeSync,
}

/// The subject.
pub struct SimStore {
    mistake: Mistake,
    /// It does its I/O through [`Oversync`].
    oversyncs: bool,
}

impl SimStore {
    /// A store with this mistake.
    pub fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            oversyncs: false,
        }
    }

    /// The correct store on files that are synced after everything, twice. Nobody asks for that, and
    /// nobody may hold it against it: what it is accused of is a false alarm.
    pub fn oversyncing() -> Self {
        Self {
            mistake: Mistake::None,
            oversyncs: true,
        }
    }

    /// What a writer does, wherever the store lives. An append that fails has no acknowledgement:
    /// nobody knows what becomes of it, and the store must be opened again.
    fn write(
        &self,
        fs: &dyn FileSystem,
        dir: &Path,
        workload: &Workload,
        recorder: &Recorder,
    ) -> Result<(), SubjectError> {
        let oversync = Oversync(fs);
        let fs = if self.oversyncs { &oversync } else { fs };
        let mut log = Log::open(fs, dir, self.mistake)?;
        for action in workload.actions(0) {
            recorder.attempt(action.id);
            let number = log.append(&workload.payload(action.id))?;
            recorder.ack(action.id, number);
        }
        Ok(())
    }

    /// What a recovery does, wherever the store lives.
    fn recover(
        &self,
        fs: &dyn FileSystem,
        dir: &Path,
        survivors: &mut Survivors,
    ) -> Result<(), SubjectError> {
        let oversync = Oversync(fs);
        let fs = if self.oversyncs { &oversync } else { fs };
        let log = Log::open(fs, dir, self.mistake)?;
        for (number, payload) in (0..).zip(&log.payloads) {
            survivors.push(number, payload);
        }
        Ok(())
    }
}

/// In processes of its own, on a real directory.
impl Subject for SimStore {
    fn name(&self) -> &str {
        match self.mistake {
            Mistake::None if self.oversyncs => "sim-store/oversync",
            Mistake::None => "sim-store",
            Mistake::NoSync => "sim-store/no-sync",
            Mistake::NoDirectorySync => "sim-store/no-directory-sync",
            Mistake::RenameBeforeSync => "sim-store/rename-before-sync",
        }
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        self.write(&OsFs, run.dir, run.workload, run.recorder)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        self.recover(&OsFs, run.dir, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

/// In this process, on the simulated file system.
impl Simulated for SimStore {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        self.write(run.fs, run.dir, run.workload, run.recorder)
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        self.recover(run.fs, run.dir, survivors)
    }

    /// A record is written when everything before it is durable. So any one that is whole vouches for
    /// all with lower numbers, wherever in the file it stands.
    fn vouched(&self, fs: &SimFs, dir: &Path) -> Option<u64> {
        let bytes = fs.read(dir.join(NAME)).ok()?;
        let records = (0..bytes.len()).filter_map(|at| decode(&bytes[at..]));
        records.map(|record| record.number).max()
    }
}

const NAME: &str = "log";
const NEW_NAME: &str = "log.new";

/// The store: records in one file, each durable before the next one is written.
struct Log {
    file: Box<dyn FileHandle>,
    /// Where the next record goes, in bytes.
    end: u64,
    payloads: Vec<Vec<u8>>,
    mistake: Mistake,
}

impl Log {
    /// Reads what is there and writes it anew.
    ///
    /// What is read may never have got to the disk, or never get there: the last process may have been
    /// killed before its sync, or the sync may have failed, and memory still shows the bytes. What
    /// is written anew, synced and named is ours to show, and half a record at the end is gone with
    /// the old file.
    fn open(fs: &dyn FileSystem, dir: &Path, mistake: Mistake) -> Result<Self, SubjectError> {
        create_dir(fs, dir)?;
        let bytes = read(fs, &dir.join(NAME))?;
        let payloads = decode_all(&bytes)?;
        let bytes: Vec<u8> = (0..)
            .zip(&payloads)
            .flat_map(|(number, payload)| encode(number, payload))
            .collect();

        let [new, path]: [PathBuf; 2] = [NEW_NAME, NAME].map(|name| dir.join(name));
        let mut options = OpenOptions::new();
        let file = fs.open(&new, options.write(true).create(true).truncate(true))?;
        write_all(&*file, &bytes, 0)?;
        if mistake == Mistake::RenameBeforeSync {
            fs.rename(&new, &path)?;
            fs.sync_dir(dir)?;
            file.sync_all()?;
        } else {
            file.sync_all()?;
            fs.rename(&new, &path)?;
            if mistake != Mistake::NoDirectorySync {
                fs.sync_dir(dir)?;
            }
        }
        Ok(Self {
            file,
            end: bytes.len() as u64,
            payloads,
            mistake,
        })
    }

    /// Appends a record and returns its number when it is durable. After an error the log must be
    /// opened again: what is in the file behind `end` then, nobody knows.
    fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        let number = self.payloads.len() as u64;
        let record = encode(number, payload);
        write_all(&*self.file, &record, self.end)?;
        if self.mistake != Mistake::NoSync {
            self.file.sync_data()?;
        }
        self.end += record.len() as u64;
        self.payloads.push(payload.to_vec());
        Ok(number)
    }
}

/// Files that are stricter than they have to be: whatever changes one is followed by two syncs of it, and
/// whatever changes a name by two syncs of its directory, as if everything were opened with `O_SYNC`
/// by somebody who does not trust it.
#[derive(Debug)]
struct Oversync<'a>(&'a dyn FileSystem);

impl Oversync<'_> {
    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or(path);
        self.0.sync_dir(dir)?;
        self.0.sync_dir(dir)
    }
}

impl FileSystem for Oversync<'_> {
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Box<dyn FileHandle>> {
        // It may be new, or have been emptied.
        let file = self.0.open(path, options)?;
        self.sync_parent(path)?;
        let file = OversyncFile(file);
        file.sync_all()?;
        Ok(Box::new(file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)?;
        self.0.sync_dir(path)?;
        self.sync_parent(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)?;
        self.sync_parent(to)?;
        self.sync_parent(from)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.hard_link(from, to)?;
        self.sync_parent(to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)?;
        self.sync_parent(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)?;
        self.sync_parent(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)?;
        self.0.sync_dir(path)
    }
}

/// A file of [`Oversync`].
#[derive(Debug)]
struct OversyncFile(Box<dyn FileHandle>);

impl FileHandle for OversyncFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.0.write_at(bytes, offset)?;
        self.sync_all()?;
        Ok(written)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()?;
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

/// A directory that is there, and whose name is durable: whoever made it may not have got so far.
fn create_dir(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    match fs.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created?,
    }
    fs.sync_dir(dir.parent().unwrap_or(dir))
}

/// All bytes of a file; none if it is not there.
fn read(fs: &dyn FileSystem, path: &Path) -> Result<Vec<u8>, SubjectError> {
    let file = match fs.open(path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.length()?)?];
    let mut end = 0;
    while end < bytes.len() {
        match file.read_at(&mut bytes[end..], end as u64)? {
            0 => return Err("the file has become shorter".into()),
            len => end += len,
        }
    }
    Ok(bytes)
}

/// A write may be short: then the rest is still to be written.
fn write_all(file: &dyn FileHandle, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// A record in the file:
///
/// ```text
/// number u64 | length u32 | checksum u64 of all the rest | payload
/// ```
struct Record<'a> {
    number: u64,
    payload: &'a [u8],
    /// What comes behind it.
    rest: &'a [u8],
}

fn encode(number: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short payload");
    let mut record = number.to_le_bytes().to_vec();
    record.extend(len.to_le_bytes());
    record.extend(checksum(number, payload).to_le_bytes());
    record.extend(payload);
    record
}

/// The record that these bytes begin with, if it is whole.
fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len).try_into().ok()?)?;
    let number = u64::from_le_bytes(*number);
    (u64::from_le_bytes(*sum) == checksum(number, payload)).then_some(Record {
        number,
        payload,
        rest,
    })
}

/// The length needs no place in it: with another length, it is of another payload.
fn checksum(number: u64, payload: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(number, payload)
}

/// The payloads of records 0, 1, 2 and so on, up to half a record that a crash left at the end. If
/// there are whole records behind that, it is no crash that left it.
fn decode_all(bytes: &[u8]) -> Result<Vec<Vec<u8>>, SubjectError> {
    let mut payloads = Vec::new();
    let mut rest = bytes;
    while let Some(record) = decode(rest).filter(|record| record.number == payloads.len() as u64) {
        payloads.push(record.payload.to_vec());
        rest = record.rest;
    }
    if (0..rest.len()).any(|at| decode(&rest[at..]).is_some()) {
        return Err(format!("record {} is damaged", payloads.len()).into());
    }
    Ok(payloads)
}
