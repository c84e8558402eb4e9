//! fjall, an LSM tree: every write is followed by `persist(PersistMode::SyncAll)`.
//!
//! Promise: "Sync the journal to disk to make sure data is definitely durable" (README, and the documentation of
//! the crate: <https://docs.rs/fjall/3>, before `db.persist(PersistMode::SyncAll)`); "Even without flushing data is
//! crash-safe" (`Database::persist`).
//!
//! Weak mode: "any operation will flush to OS buffers, but **not** to disk" (README, Durability).

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use plugpull::SubjectError;

use crate::creation;
use crate::key_value::{KeyValue, key_of};
use crate::neighbour::Neighbour;

/// Small enough for flushes and compactions within one run.
const MEMTABLE_BYTES_MAX: u64 = 8 * 1024;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("fjall", |dir| Fjall::open(dir, PersistMode::SyncAll)).created_aside(),
        Neighbour::key_value("fjall-unsynced", |dir| {
            Fjall::open(dir, PersistMode::Buffer)
        })
        .created_aside()
        .weak("writes reach the operating system, and no sync follows"),
        Neighbour::key_value("fjall-created-in-place", |dir| {
            Fjall::open(dir, PersistMode::SyncAll)
        })
        .weak(creation::IN_PLACE),
    ]
}

struct Fjall {
    database: Database,
    entries: Keyspace,
    persist: PersistMode,
}

impl Fjall {
    fn open(dir: &Path, persist: PersistMode) -> Result<Self, SubjectError> {
        let database = Database::builder(dir).worker_threads(1).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
        Ok(Self {
            entries: database.keyspace("entries", options)?,
            database,
            persist,
        })
    }
}

impl KeyValue for Fjall {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        match value {
            Some(value) => self.entries.insert(key.to_be_bytes(), value)?,
            None => self.entries.remove(key.to_be_bytes())?,
        }
        Ok(self.database.persist(self.persist)?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        for entry in self.entries.iter() {
            let (key, value) = entry.into_inner()?;
            visit(key_of(&key)?, &value);
        }
        Ok(())
    }
}
