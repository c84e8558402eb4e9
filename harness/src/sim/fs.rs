//! The file system as programs see it.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::{self, Discriminant};
use std::panic::Location;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::choice::{Chooser, Sampler};
use super::dir::{SimDir, Target};
use super::disk::{Disk, Ino, Node, Place, ROOT};
use super::fault::{Class, Fate, Fault, Faults, eio, no_space};
use super::file::{OpenOptions, SimFile};
use super::profile::Profile;
use super::record::{Call, Operation, Recording};
use crate::history::History;
use crate::workload::stream;

/// A store that has not come to an end after so many operations never will.
const OPERATIONS_MAX: u64 = 1 << 20;
/// Nor one that has changed something so many times. What is pending is kept before each of them: without
/// a sync, memory grows with the square of this.
const RECORDED_MAX: usize = 1 << 12;
const FAULT_STREAM: u64 = 1 << 62;

/// Is asked before every sync whether to leave it out.
pub(crate) trait SyncFilter: Send + Sync {
    /// Whether this sync, which is asked for at `place`, is to do nothing and succeed.
    fn leaves_out(&self, call: &Call, role: Role, place: &'static Location<'static>) -> bool;
}

/// What the process that asks for a sync is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It opens the store and writes.
    Writer,
    /// It opens the store and reads what is there.
    Recovery,
}

/// A POSIX file system in memory that can lose power. Clones are the same file system.
///
/// Nothing becomes durable by close, by rename or by time; only syncs make it so, by the rules of its
/// [`Profile`]. [`crash_clone`](Self::crash_clone) is what a power cut leaves,
/// [`kill_clone`](Self::kill_clone) what a killed process does. Paths are absolute, or below the root.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    pub(super) disk: Disk,
    seed: u64,
    entropy: ChaCha8Rng,
    /// Draws what happens beside an injected error.
    chance: ChaCha8Rng,
    faults: Faults,
    pub(super) locks: BTreeSet<Ino>,
    recording: Option<Recording>,
    filter: Option<(Arc<dyn SyncFilter>, Role)>,
    /// The last kind of operation that changed something, and a hash of how it came to that.
    trail: (Option<Discriminant<Call>>, u64),
    operations: u64,
    /// How many there had been when it refused to work on.
    endless: Option<u64>,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
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
        // A process that is started later draws other numbers.
        let life = disk.clock;
        Self {
            state: Arc::new(Mutex::new(State {
                disk,
                seed,
                entropy: stream(seed, life),
                chance: stream(seed, life | FAULT_STREAM),
                faults: Faults::default(),
                locks: BTreeSet::new(),
                recording: None,
                filter: None,
                trail: (None, 0),
                operations: 0,
                endless: None,
            })),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a power cut at this moment leaves, if `chooser` decides. This file system goes on
    /// undisturbed.
    #[must_use]
    pub fn crash_clone(&self, chooser: &mut dyn Chooser) -> Self {
        let state = self.lock();
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
        let state = self.lock();
        Self::from_disk(state.disk.clone(), state.seed)
    }

    /// Makes operations fail from now on, as planned.
    pub fn plan_faults(&self, plan: &[Fault]) {
        self.lock().faults = Faults::new(plan);
    }

    /// After how many operations it has refused to work on, because the store did not come to an end.
    pub(crate) fn gave_up_after(&self) -> Option<u64> {
        self.lock().endless
    }

    /// How many errors have been injected.
    pub fn faults_injected(&self) -> u32 {
        self.lock().faults.injected
    }

    /// Tells file systems apart by what programs see.
    pub fn fingerprint(&self) -> u64 {
        self.lock().disk.fingerprint()
    }

    /// Tells programs apart by what kinds of operations they did, in which order.
    pub(crate) fn trail(&self) -> u64 {
        self.lock().trail.1
    }

    /// Records every operation from now on, beside what is announced in `history`.
    pub(crate) fn record(&self, history: Option<History>) {
        self.lock().recording = Some(Recording::new(history));
    }

    /// Ends the recording.
    pub(crate) fn recorded(&self) -> Recording {
        let mut state = self.lock();
        let mut recording = state.recording.take().unwrap_or_default();
        recording.end(&state.disk, state.faults.injected);
        recording
    }

    /// Asks `filter` before every sync from now on.
    pub(crate) fn filter_syncs(&self, filter: Arc<dyn SyncFilter>, role: Role) {
        self.lock().filter = Some((filter, role));
    }

    /// Opens a file, or a directory for syncing it.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self, path: impl AsRef<Path>, options: &OpenOptions) -> io::Result<SimFile> {
        let path = path.as_ref();
        self.open_at(Target::new(path), options)
    }

    pub(super) fn open_at(&self, at: Target<'_>, options: &OpenOptions) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.count()?;
        options.check()?;
        let found = state.disk.lookup(at);
        let ino = match found {
            Ok(_) if options.create_new => return Err(Errno::EEXIST.into()),
            Ok(ino) => ino,
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.creates() => {
                let place = state.disk.place(at)?;
                state.create(place, &at.shown(), false)?
            }
            Err(error) => return Err(error),
        };
        if options.writes() {
            let len = state.disk.file(ino)?.live.len();
            if options.truncate && len > 0 {
                state.set_len(ino, 0)?;
            }
        }
        drop(state);
        Ok(SimFile::new(self.clone(), ino, options))
    }

    /// Opens a directory, which stays the same one when it is renamed.
    ///
    /// # Errors
    /// As open(2) with `O_DIRECTORY`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<SimDir> {
        let path = path.as_ref();
        let ino = self.find_dir(Target::new(path))?;
        Ok(SimDir::new(self.clone(), ino, path))
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
        self.create_dir_at(Target::new(path.as_ref()))
    }

    pub(super) fn create_dir_at(&self, at: Target<'_>) -> io::Result<()> {
        let mut state = self.lock();
        state.count()?;
        let place = state.disk.place(at)?;
        state.create(place, &at.shown(), true).map(drop)
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
        let state = self.lock();
        let found = state.disk.lookup(Target::new(path.as_ref()));
        found.is_ok_and(|ino| matches!(state.disk.node(ino), Node::Dir(_)))
    }

    /// Whether anything has this path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.lock().disk.lookup(Target::new(path.as_ref())).is_ok()
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As opendir(3).
    pub fn read_dir(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        self.read_dir_at(Target::new(path.as_ref()))
    }

    pub(super) fn read_dir_at(&self, at: Target<'_>) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.count()?;
        if state.read_fails() {
            return Err(eio());
        }
        let ino = state.disk.lookup(at)?;
        let names = state.disk.dir(ino)?.live.keys();
        Ok(names.map(ToString::to_string).collect())
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    /// As link(2).
    pub fn hard_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let mut state = self.lock();
        let call = Call::Link { to: text(to) };
        state.begin(call, None, Some(from))?;
        // The old name is looked up before the new one.
        let (from, to) = (Target::new(from), Target::new(to));
        let linked = state.disk.lookup(from);
        let linked = linked.and_then(|_| state.disk.places(from, to));
        let linked = linked.and_then(|(from, to)| state.disk.link(&from, to));
        state.done(linked)
    }

    /// Renames a file or directory, over whatever has the name.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.rename_at(Target::new(from.as_ref()), Target::new(to.as_ref()))
    }

    pub(super) fn rename_at(&self, from: Target<'_>, to: Target<'_>) -> io::Result<()> {
        let mut state = self.lock();
        let call = Call::Rename {
            to: text(&to.shown()),
        };
        state.begin(call, None, Some(&from.shown()))?;
        if state.faults.fate(Class::Rename) != Fate::Well {
            return state.done(Err(eio()));
        }
        let renamed = state.disk.places(from, to);
        let renamed = renamed.and_then(|(from, to)| state.disk.rename(from, to));
        state.done(renamed)
    }

    /// Removes a file's name. Open handles go on working.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.remove_at(Target::new(path.as_ref()), false)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As rmdir(2).
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.remove_at(Target::new(path.as_ref()), true)
    }

    pub(super) fn remove_at(&self, at: Target<'_>, is_dir: bool) -> io::Result<()> {
        let mut state = self.lock();
        state.begin(Call::Remove, None, Some(&at.shown()))?;
        let place = state.disk.place(at);
        let removed = place.and_then(|place| state.disk.remove(place, is_dir));
        state.done(removed)
    }

    /// Makes the names in a directory durable, as an fsync of it does.
    ///
    /// # Errors
    /// As open(2) and fsync(2).
    #[track_caller]
    pub fn sync_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let ino = self.find_dir(Target::new(path.as_ref()))?;
        self.lock().sync(ino, Call::SyncDir, Location::caller())
    }

    /// The directory at this place.
    pub(super) fn find_dir(&self, at: Target<'_>) -> io::Result<Ino> {
        let state = self.lock();
        let ino = state.disk.lookup(at)?;
        state.disk.dir(ino)?;
        Ok(ino)
    }

    /// Fills `bytes` with entropy drawn from the seed. A process that is started after a crash draws
    /// other bytes.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.lock().entropy.fill_bytes(bytes);
    }
}

impl State {
    /// Counts an operation.
    pub(super) fn count(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.operations > OPERATIONS_MAX {
            return Err(self.never_ends(OPERATIONS_MAX));
        }
        Ok(())
    }

    fn never_ends(&mut self, operations: u64) -> io::Error {
        self.endless = Some(operations);
        io::Error::other(format!(
            "the simulated file system refuses to work: after {operations} operations the store has \
             not come to an end"
        ))
    }

    /// Counts a read, and tells whether it is to fail.
    fn read_fails(&mut self) -> bool {
        if let Some(recording) = &mut self.recording {
            recording.reads += 1;
        }
        self.faults.fate(Class::Read) != Fate::Well
    }

    /// Counts and records an operation that changes something.
    fn begin(&mut self, call: Call, ino: Option<Ino>, path: Option<&Path>) -> io::Result<()> {
        self.count()?;
        let kind = mem::discriminant(&call);
        if self.trail.0 != Some(kind) {
            let mut hasher = DefaultHasher::new();
            (self.trail.1, kind).hash(&mut hasher);
            self.trail = (Some(kind), hasher.finish());
        }
        if let Some(recording) = &mut self.recording {
            if recording.operations.len() >= RECORDED_MAX {
                return Err(self.never_ends(RECORDED_MAX as u64));
            }
            let operation = Operation {
                call,
                ino,
                path: path.map(text),
                failed: None,
            };
            recording.begin(&self.disk, self.faults.injected, operation);
        }
        Ok(())
    }

    /// Passes an operation's result on, and records its error.
    fn done<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let (Err(error), Some(recording)) = (&result, &mut self.recording) {
            recording.failed(error);
        }
        result
    }

    fn create(&mut self, place: Place, path: &Path, is_dir: bool) -> io::Result<Ino> {
        let call = if is_dir {
            Call::CreateDir
        } else {
            Call::Create
        };
        self.begin(call, None, Some(path))?;
        let created = match self.faults.fate(Class::Create) {
            Fate::Well | Fate::Short => self.disk.create(place, is_dir),
            Fate::Eio => Err(eio()),
            Fate::NoSpace => Err(no_space()),
        };
        self.done(created)
    }

    pub(super) fn read(&mut self, ino: Ino, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.count()?;
        if self.read_fails() {
            return Err(eio());
        }
        Ok(self.disk.file(ino)?.live.read_at(bytes, offset))
    }

    pub(super) fn write(&mut self, ino: Ino, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let call = Call::Write { range: offset..end };
        self.begin(call, Some(ino), None)?;
        let grows = end > self.disk.file(ino)?.live.len();
        // Where every write goes to a new place, every write takes space.
        let grows = grows || !self.disk.profile.has_one_journal();
        let written = match self.faults.fate(Class::Write { grows }) {
            Fate::Well => Ok(bytes.len()),
            Fate::Short => Ok(self.part(bytes.len()).max(1)),
            Fate::NoSpace if bytes.len() > super::PAGE_BYTES && self.chance.random_bool(0.5) => {
                Ok(bytes.len() / 2)
            }
            Fate::NoSpace => Err(no_space()),
            Fate::Eio => {
                let part = self.part(bytes.len());
                self.disk.write(ino, &bytes[..part], offset);
                Err(eio())
            }
        };
        let written = written.map(|len| len.min(bytes.len()));
        if let Ok(len) = written {
            self.disk.write(ino, &bytes[..len], offset);
            if let Some(recording) = &mut self.recording {
                recording.wrote(len as u64);
            }
        }
        self.done(written)
    }

    /// Less than the whole.
    fn part(&mut self, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        self.chance.random_range(0..len)
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        self.begin(Call::SetLen { len }, Some(ino), None)?;
        let grows = len > self.disk.file(ino)?.live.len();
        if grows && self.faults.fate(Class::Grow) == Fate::NoSpace {
            return self.done(Err(no_space()));
        }
        self.disk.set_len(ino, len);
        Ok(())
    }

    pub(super) fn sync(
        &mut self,
        ino: Ino,
        call: Call,
        place: &'static Location<'static>,
    ) -> io::Result<()> {
        let data_only = call == Call::SyncData;
        let left_out = self
            .filter
            .as_ref()
            .is_some_and(|(filter, role)| filter.leaves_out(&call, *role, place));
        let is_dir = call == Call::SyncDir;
        self.begin(call, Some(ino), None)?;
        if left_out {
            return Ok(());
        }
        let class = if is_dir { Class::SyncDir } else { Class::Sync };
        if self.faults.fate(class) != Fate::Well {
            if is_dir {
                self.disk.fail_sync_dir();
            } else {
                self.disk.fail_sync(ino, &mut self.chance);
            }
            return self.done(Err(eio()));
        }
        if is_dir {
            self.disk.sync_dir(ino);
        } else {
            self.disk.sync_file(ino, data_only);
        }
        Ok(())
    }
}

impl Disk {
    /// What stands there.
    pub(super) fn lookup(&self, at: Target<'_>) -> io::Result<Ino> {
        let mut ino = at.base;
        for name in components(at.path)? {
            let dir = self.dir(ino)?;
            ino = *dir.live.get(name).ok_or(Errno::ENOENT)?;
        }
        Ok(ino)
    }

    /// The directory and the last name of a path. A directory that has been removed takes no names.
    fn place(&self, at: Target<'_>) -> io::Result<Place> {
        let names = components(at.path)?;
        let (name, parents) = names.split_last().ok_or(Errno::EBUSY)?;
        let mut dir = at.base;
        for parent in parents {
            dir = *self.dir(dir)?.live.get(*parent).ok_or(Errno::ENOENT)?;
        }
        self.dir(dir)?;
        if dir != ROOT && dir == at.base && !self.has_name(dir) {
            return Err(Errno::ENOENT.into());
        }
        Ok(Place {
            dir,
            name: (*name).into(),
        })
    }

    /// Whether any directory names it.
    fn has_name(&self, ino: Ino) -> bool {
        self.nodes.iter().flatten().any(|node| match &**node {
            Node::Dir(dir) => dir.live.values().any(|named| *named == ino),
            Node::File(_) => false,
        })
    }

    fn places(&self, from: Target<'_>, to: Target<'_>) -> io::Result<(Place, Place)> {
        Ok((self.place(from)?, self.place(to)?))
    }
}

/// The names in a path, from the root on.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{}: names are UTF-8 here", path.display()),
                )
            })?),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
