//! The file system as programs see it.

use std::fmt;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use rand::Rng;

use super::choice::{Chooser, Sampler};
use super::dir::SimDir;
use super::disk::Disk;
use super::fault::{Fault, Faults};
use super::file::SimFile;
use super::nodes::Node;
use super::options::OpenOptions;
use super::path::Target;
use super::profile::Profile;
use super::record::{Call, Recording};
use super::state::{Core, Role, SyncFilter};
use crate::history::History;
use crate::workload::stream;

/// A POSIX file system in memory that can lose power. Clones are the same file system.
///
/// Nothing becomes durable by close, by rename or by time; only syncs make it so, by the rules of its
/// [`Profile`]. [`crash_clone`](Self::crash_clone) is what a power cut leaves,
/// [`kill_clone`](Self::kill_clone) what a killed process does. Paths are absolute, or below the root.
#[derive(Clone)]
pub struct SimFs {
    pub(super) core: Core,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.lock();
        f.debug_struct("SimFs")
            .field("profile", &state.disk.profile)
            .field("operations", &state.operations)
            .finish_non_exhaustive()
    }
}

impl SimFs {
    /// An empty file system. Its entropy, and what is left to chance, derives from the seed.
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self::from_disk(Disk::new(profile), seed)
    }

    pub(crate) fn from_disk(disk: Disk, seed: u64) -> Self {
        Self {
            core: Core::new(disk, seed),
        }
    }

    /// What a power cut at this moment leaves, if `chooser` decides. This file system goes on
    /// undisturbed.
    #[must_use]
    pub fn crash_clone(&self, chooser: &mut dyn Chooser) -> Self {
        let state = self.core.lock();
        Self::from_disk(state.disk.crash(chooser), state.seed)
    }

    /// What a power cut at this moment leaves, drawn from a seed.
    #[must_use]
    pub fn crash_sample(&self, seed: u64) -> Self {
        self.crash_clone(&mut Sampler::new(stream(seed, 0)))
    }

    /// What a killed process leaves: everything that was written is there, no lock is held, and what
    /// was not synced is still not durable.
    #[must_use]
    pub fn kill_clone(&self) -> Self {
        let state = self.core.lock();
        Self::from_disk(state.disk.clone(), state.seed)
    }

    /// Makes operations fail from now on, as planned.
    pub fn plan_faults(&self, plan: &[Fault]) {
        self.core.lock().faults = Faults::new(plan);
    }

    /// After how many operations it has refused to work on, because the store did not come to an end.
    pub(crate) fn gave_up_after(&self) -> Option<u64> {
        self.core.lock().endless
    }

    /// How many errors have been injected.
    pub fn faults_injected(&self) -> u32 {
        self.core.lock().faults.injected
    }

    /// Tells file systems apart by what programs see.
    pub fn fingerprint(&self) -> u64 {
        self.core.lock().disk.fingerprint()
    }

    /// Tells programs apart by what kinds of operations they did, in which order.
    pub(crate) fn trail(&self) -> u64 {
        self.core.lock().trail.1
    }

    /// Records every operation from now on, beside what is announced in `history`.
    pub(crate) fn record(&self, history: Option<History>) {
        self.core.lock().recording = Some(Recording::new(history));
    }

    /// Ends the recording.
    pub(crate) fn recorded(&self) -> Recording {
        let mut state = self.core.lock();
        let mut recording = state.recording.take().unwrap_or_default();
        recording.end(&state.disk, state.faults.injected);
        recording
    }

    /// Asks `filter` before every sync from now on.
    pub(crate) fn filter_syncs(&self, filter: Arc<dyn SyncFilter>, role: Role) {
        self.core.lock().filter = Some((filter, role));
    }

    /// Opens a file, or a directory for syncing it.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self, path: impl AsRef<Path>, options: &OpenOptions) -> io::Result<SimFile> {
        let ino = self.core.lock().open(Target::new(path.as_ref()), options)?;
        Ok(SimFile::new(self.core.clone(), ino, options))
    }

    /// Opens a directory, which stays the same one when it is renamed.
    ///
    /// # Errors
    /// As open(2) with `O_DIRECTORY`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<SimDir> {
        let path = path.as_ref();
        let ino = self.core.lock().find_dir(Target::new(path))?;
        Ok(SimDir::new(self.core.clone(), ino, path))
    }

    /// Creates a file for reading and writing, or empties it.
    ///
    /// # Errors
    /// As open(2).
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<SimFile> {
        self.open(
            path,
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true),
        )
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// As open(2) and read(2).
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenOptions::new().read(true))?;
        let mut bytes = vec![0; usize::try_from(file.len()?).expect("it is in memory")];
        let len = file.read_at(&mut bytes, 0)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Writes a whole file. It is as little durable as any.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.create(path)?, bytes)
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.core.lock().create_dir(Target::new(path.as_ref()))
    }

    /// Creates a directory and its missing ancestors, or finds them.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if self.is_dir(path) {
            return Ok(());
        }
        match (self.create_dir(path), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(parent)?;
                self.create_dir(path)
            }
            (created, _) => created,
        }
    }

    /// Whether a directory has this path.
    pub fn is_dir(&self, path: impl AsRef<Path>) -> bool {
        let state = self.core.lock();
        let found = state.disk.lookup(Target::new(path.as_ref()));
        found.is_ok_and(|ino| matches!(state.disk.node(ino), Node::Dir(_)))
    }

    /// Whether anything has this path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.core
            .lock()
            .disk
            .lookup(Target::new(path.as_ref()))
            .is_ok()
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As opendir(3).
    pub fn read_dir(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        self.core.lock().read_dir(Target::new(path.as_ref()))
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    /// As link(2).
    pub fn hard_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.core.lock().hard_link(from.as_ref(), to.as_ref())
    }

    /// Renames a file or directory, over whatever has the name.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (Target::new(from.as_ref()), Target::new(to.as_ref()));
        self.core.lock().rename(from, to)
    }

    /// Removes a file's name. Open handles go on working.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.core.lock().remove(Target::new(path.as_ref()), false)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As rmdir(2).
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.core.lock().remove(Target::new(path.as_ref()), true)
    }

    /// Makes the names in a directory durable, as an fsync of it does.
    ///
    /// # Errors
    /// As open(2) and fsync(2).
    #[track_caller]
    pub fn sync_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.core.lock();
        let ino = state.find_dir(Target::new(path.as_ref()))?;
        state.sync(ino, Call::SyncDir, Location::caller())
    }

    /// Fills `bytes` with entropy drawn from the seed. A process that is started after a crash draws
    /// other bytes.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.core.lock().entropy.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Event;

    #[test]
    fn what_was_not_published_at_a_gap_was_not_announced_there() {
        let history = History::create(8).expect("memory");
        let fs = SimFs::new(Profile::Strict, 1);
        fs.record(Some(history.clone()));
        let event = |id| Event::Ack { id, position: id };
        assert!(history.record(event(1)));
        // One thread has reserved its slot when another one goes on.
        let slow = history.reserve().expect("room");
        assert!(history.record(event(3)));
        fs.create("/f").expect("nothing in the way");
        history.publish(&slow, event(2));
        fs.create_dir("/d").expect("nothing in the way");
        assert!(history.record(event(4)));
        let recording = fs.recorded();
        let at = |gap| recording.events_at(gap);
        assert_eq!(at(0), [event(1), event(3)]);
        assert_eq!(at(1), [event(1), event(2), event(3)]);
        assert_eq!(at(2), [event(1), event(2), event(3), event(4)]);
    }
}
