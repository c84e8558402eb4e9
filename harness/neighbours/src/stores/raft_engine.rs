//! raft-engine, `TiKV`'s log of Raft entries: one region, its indexes count up from 1; every write with `sync`.
//!
//! Promise: "When one write in a batch is marked synchronous, the batch leader will call `fdatasync()` after writing. This
//! way, buffered data is guaranteed to be flushed out onto the storage" (README, <https://docs.rs/raft-engine/0.4>).
//!
//! Weak mode: a write that is not marked synchronous.

use std::path::Path;

use plugpull::SubjectError;
use protobuf::well_known_types::Any;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::log::Log;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::log("raft-engine", |dir| Store::open(dir, true)),
        Neighbour::log("raft-engine-unsynced", |dir| Store::open(dir, false))
            .weak("writes reach the operating system, and no sync follows"),
    ]
}

const REGION: u64 = 1;

/// An entry is a protobuf message: the index stands in its name, the payload is its value.
struct Entry;

impl MessageExt for Entry {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        entry.get_type_url().parse().unwrap_or_default()
    }
}

struct Store {
    engine: Engine,
    syncs: bool,
}

impl Store {
    fn open(dir: &Path, syncs: bool) -> Result<Self, SubjectError> {
        let engine = Engine::open(Config {
            dir: dir.to_str().ok_or("a path that is not UTF-8")?.to_owned(),
            // Small enough for several files within one run.
            target_file_size: ReadableSize::kb(16),
            recovery_threads: 1,
            ..Config::default()
        })?;
        Ok(Self { engine, syncs })
    }
}

impl Log for Store {
    fn append(&self, payload: &[u8]) -> Result<(), SubjectError> {
        let index = self.engine.last_index(REGION).unwrap_or(0) + 1;
        let mut entry = Any::new();
        entry.set_type_url(index.to_string());
        entry.set_value(payload.to_vec());
        let mut batch = LogBatch::default();
        batch.add_entries::<Entry>(REGION, &[entry])?;
        self.engine.write(&mut batch, self.syncs)?;
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), SubjectError> {
        let engine = &self.engine;
        let mut entries = Vec::new();
        if let (Some(first), Some(last)) = (engine.first_index(REGION), engine.last_index(REGION)) {
            engine.fetch_entries_to::<Entry>(REGION, first, last + 1, None, &mut entries)?;
        }
        for entry in &entries {
            visit(entry.get_value());
        }
        Ok(())
    }
}
