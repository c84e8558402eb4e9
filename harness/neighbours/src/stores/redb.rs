//! redb, one transaction a write, durability immediate: on real files through its own backend, on the
//! simulated file system through [`super::redb_simulated`].
//!
//! Promise: "Commits with this durability level are guaranteed to be persistent as soon as `WriteTransaction::commit`
//! returns" (`Durability::Immediate`, the default). It assumes that syncs make writes durable and that a write changes
//! no byte outside its range (`docs/design.md`), and does not promise to notice damage when it opens.
//!
//! Weak mode: `Durability::None`: "will not be persisted to disk unless followed by a commit with `Durability::Immediate`".

use std::path::Path;

use plugpull::SubjectError;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::redb_simulated;
use crate::creation;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("redb", |dir| Redb::open(dir, Durability::Immediate))
            .created_aside()
            .simulated(|fs, dir| Redb::new(redb_simulated::open(fs, dir)?, Durability::Immediate)),
        Neighbour::key_value("redb-unsynced", |dir| Redb::open(dir, Durability::None))
            .created_aside()
            .weak("commits are not persisted before a later, durable one"),
        Neighbour::key_value("redb-created-in-place", |dir| {
            Redb::open(dir, Durability::Immediate)
        })
        .weak(creation::IN_PLACE),
    ]
}

struct Redb {
    database: Database,
    durability: Durability,
}

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");

impl Redb {
    fn open(dir: &Path, durability: Durability) -> Result<Self, SubjectError> {
        Self::new(Database::create(dir.join("redb"))?, durability)
    }

    fn new(database: Database, durability: Durability) -> Result<Self, SubjectError> {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self {
            database,
            durability,
        })
    }
}

impl KeyValue for Redb {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            match value {
                Some(value) => table.insert(key, value)?,
                None => table.remove(key)?,
            };
        }
        Ok(transaction.commit()?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        for row in self.database.begin_read()?.open_table(TABLE)?.iter()? {
            let (key, value) = row?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}
