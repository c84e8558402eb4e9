//! jammdb, a port of `BoltDB`: one transaction a write.
//!
//! Promise: "jammdb offers ACID compliance", and of a commit: "commit the changes so they are saved to disk" (the crate's
//! documentation, <https://docs.rs/jammdb/0.11>). It has no weaker mode.

use std::path::Path;

use jammdb::DB;
use plugpull::SubjectError;

use crate::creation;
use crate::key_value::{KeyValue, key_of};
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("jammdb", Store::open).created_aside(),
        Neighbour::key_value("jammdb-created-in-place", Store::open).weak(creation::IN_PLACE),
    ]
}

const BUCKET: &str = "entries";

struct Store(DB);

impl Store {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        let database = DB::open(dir.join("jammdb"))?;
        let transaction = database.tx(true)?;
        transaction.get_or_create_bucket(BUCKET)?;
        transaction.commit()?;
        Ok(Self(database))
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let transaction = self.0.tx(true)?;
        let bucket = transaction.get_bucket(BUCKET)?;
        let key = key.to_be_bytes();
        if let Some(value) = value {
            bucket.put(key.to_vec(), value.to_vec())?;
        } else if bucket.get(key).is_some() {
            bucket.delete(key)?;
        }
        Ok(transaction.commit()?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let transaction = self.0.tx(false)?;
        for pair in transaction.get_bucket(BUCKET)?.kv_pairs() {
            visit(key_of(pair.key())?, pair.value());
        }
        Ok(())
    }
}
