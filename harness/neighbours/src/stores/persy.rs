//! persy: one transaction a write, prepared and committed, in an index.
//!
//! Promise: "It guarantee the persistence of data even in case of crash through a in file write ahead log" (the crate's
//! documentation, <https://docs.rs/persy/1.8>).
//!
//! Weak mode: `set_background_sync`, with which "the transaction will be fsync-ed in background"
//! (`TransactionConfig`).

use std::path::Path;

use persy::{ByteVec, Config, Persy, TransactionConfig, ValueMode};
use plugpull::SubjectError;

use crate::creation;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("persy", |dir| Store::open(dir, false)).created_aside(),
        Neighbour::key_value("persy-background", |dir| Store::open(dir, true))
            .created_aside()
            .weak("transactions are synced in the background, after they have returned"),
        Neighbour::key_value("persy-created-in-place", |dir| Store::open(dir, false))
            .weak(creation::IN_PLACE),
    ]
}

const INDEX: &str = "entries";

struct Store {
    persy: Persy,
    background_sync: bool,
}

impl Store {
    fn open(dir: &Path, background_sync: bool) -> Result<Self, SubjectError> {
        let create = |persy: &Persy| {
            let mut transaction = persy.begin()?;
            transaction.create_index::<u64, ByteVec>(INDEX, ValueMode::Replace)?;
            Ok(transaction.prepare()?.commit()?)
        };
        Ok(Self {
            persy: Persy::open_or_create_with(dir.join("persy"), Config::new(), create)?,
            background_sync,
        })
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let config = TransactionConfig::new().set_background_sync(self.background_sync);
        let mut transaction = self.persy.begin_with(config)?;
        match value {
            Some(value) => transaction.put(INDEX, key, ByteVec::new(value.to_vec()))?,
            None => transaction.remove::<u64, ByteVec>(INDEX, key, None)?,
        }
        Ok(transaction.prepare()?.commit()?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        for (key, values) in self.persy.range::<u64, ByteVec, _>(INDEX, ..)? {
            for value in values {
                visit(key, &value);
            }
        }
        Ok(())
    }
}
