//! A storage that fails, stalls and remembers, on top of another one.
//!
//! A test keeps the [`Plan`] and says beforehand what shall happen to which operation; the plan
//! counts and records all of them, so that a test can also ask what was done.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;

use groupwal::{FileIdentity, Storage, StorageDir, StorageFile};

/// `EIO`: the device failed.
pub const EIO: i32 = 5;
/// `ENOSPC`: the disk is full.
pub const ENOSPC: i32 = 28;

/// Kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    List,
    Create,
    Open,
    Read,
    Write,
    /// `sync_data` and `sync_all`.
    Sync,
    Rename,
    Remove,
    SyncDir,
}

impl Op {
    /// Whether it changes the disk, or what of it is durable.
    fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Read)
    }
}

/// An operation that was asked for, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub op: Op,
    /// File name; where a rename began.
    pub name: String,
    pub offset: u64,
    /// What was to be written.
    pub bytes: Vec<u8>,
    /// Who asked.
    pub thread: ThreadId,
}

/// What happens to an operation instead of success.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It fails, having done nothing.
    Fails(i32),
    /// A write fails after so many bytes.
    Torn(usize, i32),
    /// A write writes so many bytes and says so.
    Short(usize),
}

#[derive(Default)]
struct State {
    counts: BTreeMap<Op, u64>,
    events: Vec<Event>,
    /// By kind and by how many operations of it are still to come before.
    faults: Vec<(Op, u64, Fault)>,
    /// Bytes by which files may still grow; `None` is no limit.
    room: Option<u64>,
    /// Operations that change something left before the process dies; `None` is for ever.
    life: Option<u64>,
    changes: u64,
    gate: Gate,
}

/// What holds syncs back.
#[derive(Default)]
struct Gate {
    shut: bool,
    /// Syncs that wait at the gate.
    waiting: usize,
}

/// What shall happen. Clones are the same plan.
#[derive(Clone, Default)]
pub struct Plan {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

impl Plan {
    /// `inner`, subject to this plan.
    pub fn over(&self, inner: impl Storage) -> Arc<dyn Storage> {
        let plan = self.clone();
        Arc::new(FaultStorage { inner, plan })
    }

    /// The operation of that kind before which `nth` others are still to come fails.
    pub fn fail(&self, op: Op, nth: u64, errno: i32) {
        self.add(op, nth, Fault::Fails(errno));
    }

    /// The write before which `nth` others are still to come writes `len` bytes and then fails.
    pub fn tear_write(&self, nth: u64, len: usize, errno: i32) {
        self.add(Op::Write, nth, Fault::Torn(len, errno));
    }

    /// The write before which `nth` others are still to come writes `len` bytes only, and says so.
    pub fn shorten_write(&self, nth: u64, len: usize) {
        self.add(Op::Write, nth, Fault::Short(len));
    }

    fn add(&self, op: Op, nth: u64, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        let at = state.counts.get(&op).copied().unwrap_or(0) + nth;
        state.faults.push((op, at, fault));
    }

    /// Files can grow by `bytes` in all; then the disk is full.
    pub fn leave_room(&self, bytes: u64) {
        self.state.lock().unwrap().room = Some(bytes);
    }

    /// The disk is as large as anybody needs.
    pub fn free_space(&self) {
        self.state.lock().unwrap().room = None;
    }

    /// The process dies after `changes` more operations that change something: all later operations
    /// fail, and a write that is hit leaves half of its bytes.
    pub fn die_after(&self, changes: u64) {
        self.state.lock().unwrap().life = Some(changes);
    }

    /// Operations so far that changed something, failed ones included.
    pub fn changes(&self) -> u64 {
        self.state.lock().unwrap().changes
    }

    /// Operations of a kind so far, failed ones included.
    pub fn count(&self, op: Op) -> u64 {
        let state = self.state.lock().unwrap();
        state.counts.get(&op).copied().unwrap_or(0)
    }

    /// What has been asked for since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().unwrap().events)
    }

    /// Holds back every sync of a file from now on, until the gate is opened or what is returned is
    /// dropped: a test that fails lets go whoever waits.
    #[must_use]
    pub fn shut_gate(&self) -> ShutGate {
        self.state.lock().unwrap().gate.shut = true;
        ShutGate(self.clone())
    }

    /// Lets the syncs go that wait, and all later ones.
    pub fn open_gate(&self) {
        self.state.lock().unwrap().gate.shut = false;
        self.changed.notify_all();
    }

    /// Blocks until a sync waits at the gate.
    pub fn until_sync_waits(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |state| state.gate.waiting == 0)
                .unwrap(),
        );
    }

    fn pass_gate(&self) {
        let mut state = self.state.lock().unwrap();
        if state.gate.shut {
            state.gate.waiting += 1;
            self.changed.notify_all();
            let wait = self.changed.wait_while(state, |state| state.gate.shut);
            wait.unwrap().gate.waiting -= 1;
        }
    }

    /// Counts an operation, records it, and says what shall become of it.
    fn begin(&self, op: Op, name: &str, offset: u64, bytes: &[u8]) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.events.push(Event {
            op,
            name: name.to_owned(),
            offset,
            bytes: bytes.to_vec(),
            thread: std::thread::current().id(),
        });
        let count = state.counts.entry(op).or_default();
        let at = *count;
        *count += 1;
        state.changes += u64::from(op.changes());
        match &mut state.life {
            Some(0) => return Some(Fault::Fails(EIO)),
            Some(left) if op.changes() => {
                *left -= 1;
                if *left == 0 {
                    return Some(Fault::Torn(bytes.len() / 2, EIO));
                }
            }
            _ => {}
        }
        let hit = |fault: &&(Op, u64, Fault)| (fault.0, fault.1) == (op, at);
        state.faults.iter().find(hit).map(|fault| fault.2)
    }

    /// [`begin`](Self::begin) for operations that only succeed or fail.
    fn check(&self, op: Op, name: &str) -> io::Result<()> {
        match self.begin(op, name, 0, &[]) {
            Some(Fault::Fails(errno) | Fault::Torn(_, errno)) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    /// Takes room for a file that grows by `bytes`.
    fn take_room(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if let Some(room) = &mut state.room {
            let left = room.checked_sub(bytes);
            *room = left.ok_or_else(|| io::Error::from_raw_os_error(ENOSPC))?;
        }
        Ok(())
    }
}

/// A gate that opens when it is dropped.
pub struct ShutGate(Plan);

impl Drop for ShutGate {
    fn drop(&mut self) {
        self.0.open_gate();
    }
}

struct FaultStorage<S> {
    inner: S,
    plan: Plan,
}

struct FaultDir {
    inner: Arc<dyn StorageDir>,
    plan: Plan,
}

impl FaultDir {
    fn over(inner: Arc<dyn StorageDir>, plan: &Plan) -> Arc<dyn StorageDir> {
        let plan = plan.clone();
        Arc::new(Self { inner, plan })
    }

    fn file(&self, name: &str, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let (name, plan) = (name.to_owned(), self.plan.clone());
        Arc::new(FaultFile { name, inner, plan })
    }
}

impl<S: Storage> Storage for FaultStorage<S> {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        let dir = self.inner.open_dir(path)?;
        // The root, in which the log's own name is synced, is not part of the plan.
        if path.parent().is_none() {
            return Ok(dir);
        }
        Ok(FaultDir::over(dir, &self.plan))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.fill_random(bytes)
    }
}

impl StorageDir for FaultDir {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.plan.check(Op::List, &self.name())?;
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.plan.check(Op::Create, name)?;
        Ok(self.file(name, self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.plan.check(Op::Open, name)?;
        Ok(self.file(name, self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.check(Op::Rename, from)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plan.check(Op::Remove, name)?;
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.check(Op::SyncDir, &self.name())?;
        self.inner.sync()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.inner.identity(name)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Self::over(self.inner.open_dir(name)?, &self.plan))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.inner.create_dir(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.inner.remove_dir(name)
    }
}

impl FaultDir {
    fn name(&self) -> String {
        let name = self.inner.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

struct FaultFile {
    name: String,
    inner: Arc<dyn StorageFile>,
    plan: Plan,
}

impl StorageFile for FaultFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.plan.check(Op::Read, &self.name)?;
        self.inner.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.plan.begin(Op::Write, &self.name, offset, bytes);
        let (len, errno) = match fault {
            None => (bytes.len(), None),
            Some(Fault::Fails(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Torn(len, errno)) => (len.min(bytes.len()), Some(errno)),
            Some(Fault::Short(len)) => (len.min(bytes.len()), None),
        };
        let grown = (offset + len as u64).saturating_sub(self.inner.length()?);
        self.plan.take_room(grown)?;
        let written = self.inner.write_at(&bytes[..len], offset)?;
        errno.map_or(Ok(written), |errno| {
            Err(io::Error::from_raw_os_error(errno))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.plan.pass_gate();
        self.plan.check(Op::Sync, &self.name)?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.plan.pass_gate();
        self.plan.check(Op::Sync, &self.name)?;
        self.inner.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }
}
