//! LMDB, through heed: one transaction a write, with the default flags.
//!
//! Promise: "full ACID semantics"; only with `MDB_NOSYNC`, "Don't flush system buffers to disk when committing" (`lmdb.h`).
//!
//! Weak mode: `MDB_NOMETASYNC` "maintains database integrity, but a system crash may undo the last committed transaction".

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};
use plugpull::SubjectError;

use crate::creation;
use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("lmdb", |dir| Lmdb::open(dir, EnvFlags::empty())).created_aside(),
        Neighbour::key_value("lmdb-no-meta-sync", |dir| {
            Lmdb::open(dir, EnvFlags::NO_META_SYNC)
        })
        .created_aside()
        .weak("the page that makes a commit valid is not synced"),
        Neighbour::key_value("lmdb-created-in-place", |dir| {
            Lmdb::open(dir, EnvFlags::empty())
        })
        .weak(creation::IN_PLACE),
    ]
}

type Entries<'e> = Database<'e, U64<BE>, Bytes>;

struct Lmdb(Env<WithoutTls>);

impl Lmdb {
    #[expect(
        unsafe_code,
        reason = "heed: the caller promises that no other program changes the mapped file"
    )]
    fn open(dir: &Path, flags: EnvFlags) -> Result<Self, SubjectError> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(16 << 20);
        // SAFETY: the directory belongs to this process, and no flag gives up a lock.
        let environment = unsafe { options.flags(flags).open(dir)? };
        // A new environment is not durable before its first commit, and a commit that a killed process has
        // written is shown, but need not be durable.
        environment.force_sync()?;
        Ok(Self(environment))
    }

    fn entries(&self) -> Result<Entries<'_>, SubjectError> {
        let opened = self
            .0
            .open_databases_and_commit(self.0.read_txn()?, |databases, read| {
                let entries = databases.open_database(read, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(entries))
            })?;
        Ok(opened.unwrap_commit().expect("it always exists"))
    }
}

impl KeyValue for Lmdb {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let entries = self.entries()?;
        let mut transaction = self.0.write_txn()?;
        match value {
            Some(value) => entries.put(&mut transaction, &key, value)?,
            None => entries.delete(&mut transaction, &key).map(drop)?,
        }
        Ok(transaction.commit()?)
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let transaction = self.0.read_txn()?;
        for entry in self.entries()?.iter(&transaction)? {
            let (key, value) = entry?;
            visit(key, value);
        }
        Ok(())
    }

    fn close(self) -> Result<(), SubjectError> {
        self.0.prepare_for_closing().wait();
        Ok(())
    }
}
