//! canopydb: one transaction a write, `commit_with(true)`.
//!
//! Promise: "Commits the transaction and optionally performs a durable `fsync` to make the transaction (and all the
//! ones before it) durable in the storage" (`WriteTransaction::commit_with`, <https://docs.rs/canopydb/0.2>).
//!
//! Weak mode: `commit_with(false)`; "In practice application crashes do not cause data loss, only device crashes"
//! (`EnvOptions::wal_background_sync_interval`).

use std::path::Path;

use canopydb::{Database, DbOptions, EnvOptions};
use plugpull::SubjectError;

use crate::key_value::{KeyValue, key_of};
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("canopydb", |dir| Store::open(dir, true)),
        Neighbour::key_value("canopydb-unsynced", |dir| Store::open(dir, false))
            .weak("commits reach the operating system, and no sync follows"),
    ]
}

const TREE: &[u8] = b"entries";

/// Small enough for checkpoints within one run.
const CHECKPOINT_BYTES: usize = 64 * 1024;

struct Store {
    database: Database,
    syncs: bool,
}

impl Store {
    fn open(dir: &Path, syncs: bool) -> Result<Self, SubjectError> {
        let mut environment = EnvOptions::new(dir);
        environment.page_cache_size = 1 << 20;
        let mut options = DbOptions::new();
        options.checkpoint_target_size = CHECKPOINT_BYTES;
        let database = Database::with_options(environment, options)?;
        if syncs {
            // What a killed process has written is shown, but need not be durable.
            database.sync()?;
        }
        Ok(Self { database, syncs })
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let transaction = self.database.begin_write()?;
        let mut tree = transaction.get_or_create_tree(TREE)?;
        match value {
            Some(value) => tree.insert(&key.to_be_bytes(), value)?,
            None => tree.delete(&key.to_be_bytes()).map(drop)?,
        }
        drop(tree);
        transaction.commit_with(self.syncs)?;
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let transaction = self.database.begin_read()?;
        let Some(tree) = transaction.get_tree(TREE)? else {
            return Ok(());
        };
        for entry in tree.iter()? {
            let (key, value) = entry?;
            visit(key_of(&key)?, &value);
        }
        Ok(())
    }
}
