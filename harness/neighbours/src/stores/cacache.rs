//! cacache, a cache of files by content and by key.
//!
//! It promises no durability and syncs nothing, so it is an exhibit only. What it does promise: "Fault tolerance (immune to
//! corruption, partial writes, process races, etc)" and "Consistency guarantees on read and write (full data
//! verification)" (README, <https://docs.rs/cacache/13.1>): what it gives back is whole, or an error.

use std::path::{Path, PathBuf};

use plugpull::SubjectError;

use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![Neighbour::key_value("cacache", Store::open).weak("it is a cache: nothing is synced")]
}

struct Store(PathBuf);

impl Store {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "as the other stores; this one is opened by its path"
    )]
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        Ok(Self(dir.to_owned()))
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        match value {
            Some(value) => cacache::write_sync(&self.0, key.to_string(), value).map(drop)?,
            None => cacache::remove_sync(&self.0, key.to_string())?,
        }
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        // A cache without an entry has no index to list.
        if !self.0.join("index-v5").try_exists()? {
            return Ok(());
        }
        for entry in cacache::list_sync(&self.0) {
            let entry = entry?;
            // Content that is gone or damaged is an error, as promised: the entry is lost, and nothing is made up.
            if let Ok(value) = cacache::read_hash_sync(&self.0, &entry.integrity) {
                visit(entry.key.parse()?, &value);
            }
        }
        Ok(())
    }
}
