//! The core that every handle stands on: a disk, what is recorded of it, and what is to fail.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::{self, Discriminant};
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::fault::{Class, Fate, Faults};
use super::nodes::Ino;
use super::record::{Call, Operation, Recording};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// It opens the store and writes.
    Writer,
    /// It opens the store and reads what is there.
    Recovery,
}

/// A file system that several handles share. Clones are the same one.
#[derive(Clone)]
pub(super) struct Core(Arc<Mutex<State>>);

impl Core {
    pub(super) fn new(disk: Disk, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State::new(disk, seed))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State {
    pub(super) disk: Disk,
    pub(super) seed: u64,
    pub(super) entropy: ChaCha8Rng,
    /// Draws what happens beside an injected error.
    pub(super) chance: ChaCha8Rng,
    pub(super) faults: Faults,
    pub(super) locks: BTreeSet<Ino>,
    pub(super) recording: Option<Recording>,
    pub(super) filter: Option<(Arc<dyn SyncFilter>, Role)>,
    /// The last kind of operation that changed something, and a hash of how it came to that.
    pub(super) trail: (Option<Discriminant<Call>>, u64),
    pub(super) operations: u64,
    /// How many there had been when it refused to work on.
    pub(super) endless: Option<u64>,
}

impl State {
    fn new(disk: Disk, seed: u64) -> Self {
        // A process that is started later draws other numbers.
        let life = disk.clock;
        Self {
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
        }
    }

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
    pub(super) fn read_fails(&mut self) -> bool {
        if let Some(recording) = &mut self.recording {
            recording.reads += 1;
        }
        self.faults.fate(Class::Read) != Fate::Well
    }

    /// Counts and records an operation that changes something.
    pub(super) fn begin(
        &mut self,
        call: Call,
        ino: Option<Ino>,
        path: Option<&Path>,
    ) -> io::Result<()> {
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
    pub(super) fn done<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let (Err(error), Some(recording)) = (&result, &mut self.recording) {
            recording.failed(error);
        }
        result
    }
}

pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
