//! `native_db`, typed models on redb: one transaction a write.
//!
//! Promise: "Thread-safe and fully ACID-compliant transactions provided by redb" (README,
//! <https://docs.rs/native_db/0.8>). It has no weaker mode.

use std::path::Path;
use std::sync::LazyLock;

use native_db::{Builder, Database, Models, ToKey, native_db};
use native_model::{Model, native_model};
use plugpull::SubjectError;
use serde::{Deserialize, Serialize};

use crate::creation;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("native_db", Store::open).created_aside(),
        Neighbour::key_value("native_db-created-in-place", Store::open).weak(creation::IN_PLACE),
    ]
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[native_model(id = 1, version = 1)]
#[native_db]
struct Entry {
    #[primary_key]
    key: u64,
    value: Vec<u8>,
}

/// What is stored; never changes. A database borrows it for as long as it is open.
static MODELS: LazyLock<Models> = LazyLock::new(|| {
    let mut models = Models::new();
    models.define::<Entry>().expect("one model");
    models
});

struct Store(Database<'static>);

impl Store {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        Ok(Self(Builder::new().create(&MODELS, dir.join("native_db"))?))
    }
}

impl KeyValue for Store {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let transaction = self.0.rw_transaction()?;
        if let Some(value) = value {
            let value = value.to_vec();
            transaction.upsert(Entry { key, value })?;
        } else if let Some(entry) = transaction.get().primary::<Entry>(key)? {
            transaction.remove(entry)?;
        }
        Ok(transaction.commit()?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let transaction = self.0.r_transaction()?;
        for entry in transaction.scan().primary::<Entry>()?.all()? {
            let Entry { key, value } = entry?;
            visit(key, &value);
        }
        Ok(())
    }
}
