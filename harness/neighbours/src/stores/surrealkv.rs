//! surrealkv, an LSM tree: one transaction a write, `Durability::Immediate`.
//!
//! Promise: `Durability::Immediate` "Forces `fsync()` on commit. Guarantees durability"; "make the commit wait for a sync of
//! the write-ahead log before it returns" (README, <https://docs.rs/surrealkv/1.2>).
//!
//! Weak mode: `Durability::Eventual`, the default: "May lose recent commits on power failure but fast".

use std::path::Path;

use plugpull::SubjectError;
use surrealkv::{Durability, LSMIterator, Tree, TreeBuilder};
use tokio::runtime::Runtime;

use crate::key_value::{KeyValue, key_of};
use crate::neighbour::Neighbour;
use crate::turns::runtime;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("surrealkv", |dir| Store::open(dir, Durability::Immediate)),
        Neighbour::key_value("surrealkv-eventual", |dir| {
            Store::open(dir, Durability::Eventual)
        })
        .weak("commits reach the operating system, and no sync follows"),
    ]
}

/// Small enough for flushes and compactions within one run.
const MEMTABLE_BYTES_MAX: usize = 16 * 1024;

struct Store {
    tree: Tree,
    durability: Durability,
    runtime: Runtime,
}

impl Store {
    fn open(dir: &Path, durability: Durability) -> Result<Self, SubjectError> {
        let runtime = runtime()?;
        let builder = TreeBuilder::new()
            .with_path(dir.to_owned())
            .with_max_memtable_size(MEMTABLE_BYTES_MAX);
        let tree = runtime.block_on(builder.build_async())?;
        Ok(Self {
            tree,
            durability,
            runtime,
        })
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let mut transaction = self.tree.begin()?;
        transaction.set_durability(self.durability);
        let key = key.to_be_bytes().to_vec();
        match value {
            Some(value) => transaction.set(key, value.to_vec())?,
            None => transaction.delete(key)?,
        }
        Ok(self.runtime.block_on(transaction.commit())?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let transaction = self.tree.begin()?;
        let mut entries = transaction.iter()?;
        entries.seek_first()?;
        while entries.valid() {
            visit(key_of(entries.key().user_key())?, &entries.value()?);
            entries.next()?;
        }
        Ok(())
    }

    fn close(self) -> Result<(), SubjectError> {
        Ok(self.runtime.block_on(self.tree.close())?)
    }
}
