//! okaywal, a write-ahead log with group commit and checkpoints; here it is a journal of puts and deletes before
//! [`super::okaywal_storage`], into which its checkpoints go.
//!
//! Promise: "Once this call returns, all data is atomically updated and synchronized to disk" (`EntryWriter::commit`);
//! "before control returns from committing an entry, the file is `fsync`ed", and the directory "as needed" (README, How
//! `OkayWAL` works, <https://docs.rs/okaywal/0.3>). It has no weaker mode.

use std::path::Path;

use okaywal::{Configuration, WriteAheadLog};
use plugpull::SubjectError;

use super::okaywal_storage::Storage;
use crate::journal;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![Neighbour::key_value("okaywal", Store::open)]
}

/// Small enough for checkpoints within one run.
const CHECKPOINT_BYTES: u64 = 8 * 1024;
const SEGMENT_BYTES: u32 = 16 * 1024;

struct Store {
    log: WriteAheadLog,
    storage: Storage,
}

impl Store {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        let storage = Storage::open(dir)?;
        let configuration = Configuration::default_for(dir.join("log"))
            .preallocate_bytes(SEGMENT_BYTES)
            .checkpoint_after_bytes(CHECKPOINT_BYTES);
        let log = configuration.open(storage.clone())?;
        Ok(Self { log, storage })
    }
}

impl KeyValue for Store {
    const OUTLIVES_DROP: bool = true;

    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(&journal::record(key, value))?;
        entry.commit()?;
        Ok(())
    }

    /// What was recovered: nothing is shown while the log is written.
    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        self.storage.recovered().for_each(visit);
        Ok(())
    }

    fn close(self) -> Result<(), SubjectError> {
        Ok(self.log.shutdown()?)
    }
}
