//! writeahead, a write-ahead log with group commit; here it is a journal of puts and deletes.
//!
//! Promise: "Durability: a write is acknowledged only after it is fdatasync'd to the active log file"; "Crash recovery:
//! `start()` restores a consistent WAL after a crash at any point .. Every acknowledged record survives" (README,
//! Guarantees, <https://docs.rs/writeahead/0.4>). It has no weaker mode.

use std::path::Path;

use futures::TryStreamExt;
use plugpull::SubjectError;
use tokio::runtime::Runtime;
use writeahead::{SimpleFile, WriteAhead, WriteAheadOptions, WriteHandle};

use crate::journal;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;
use crate::turns::runtime;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![Neighbour::key_value("writeahead", Store::open)]
}

/// Small enough for several files within one run.
const FILE_BYTES_MAX: u64 = 32 * 1024;

struct Store {
    log: WriteAhead<SimpleFile>,
    handle: WriteHandle,
    runtime: Runtime,
}

impl Store {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        let mut log = WriteAhead::with_options(WriteAheadOptions {
            log_dir: dir.to_owned(),
            max_file_size: FILE_BYTES_MAX,
            ..WriteAheadOptions::default()
        });
        log.start()?;
        let handle = log.writer()?;
        let runtime = runtime()?;
        Ok(Self {
            log,
            handle,
            runtime,
        })
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let record = journal::record(key, value);
        self.runtime.block_on(self.handle.write(record))?;
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let mut records = self.log.create_stream()?;
        let mut entries = journal::Entries::default();
        while let Some((_, record)) = self.runtime.block_on(records.try_next())? {
            entries.apply(&record)?;
        }
        entries.for_each(visit);
        Ok(())
    }
}
