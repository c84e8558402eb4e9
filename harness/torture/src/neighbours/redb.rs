//! redb, one transaction a write, durability immediate: on real files through its own backend, on the
//! simulated file system through ours.
//!
//! It promises (`docs/design.md` in its sources) that a commit that has returned survives a crash and a
//! power cut, if syncs make writes durable and a write changes no byte beside its own. It does not
//! promise to notice damage when it opens: its checksums are there to roll back half a commit, and only
//! `check_integrity` verifies them all. What is found in version 4.1.0:
//!
//! - `power`, a broken promise: the file grows, the header that says so gets to the disk, the new length
//!   does not; from then on every attempt to open the database panics (`raw_file_len()? >=
//!   header.layout().len()`), though every commit is whole. Fixed in 4.2.0 ([#1276]); 4.5.0 passes.
//! - `fault`, in 4.5.0 as well: a sync fails, the process is started again, finds the last commit whole in
//!   memory and builds on it; its syncs succeed, but what the failed one dropped is never written. After a
//!   power cut "all roots are corrupted", and with them everything that had been acknowledged. That a
//!   failed sync does this is not among the assumptions that redb states; what it reads after a restart
//!   would have to be written again.
//! - `rot`: panics on damaged pages, and damaged values that are served. No promise is broken by that.
//!
//! [#1276]: https://github.com/cberner/redb/pull/1276

use std::fs;
use std::io;
use std::path::Path;

use ::redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};
use plugpull::oracle::{KeyValueOracle, Oracle};
use plugpull::sim::{OpenOptions, SimFile, SimFs};
use plugpull::{
    RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, WriteRun,
};

use super::key_value::{KeyValue, show, write};

/// The subject.
pub(crate) struct Redb;

impl Subject for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(KeyValueOracle::default())
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        write(open(run.dir)?, run.workload, run.recorder)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        show(&open(run.dir)?, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Redb {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        write(open_simulated(run.fs, run.dir)?, run.workload, run.recorder)
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        show(&open_simulated(run.fs, run.dir)?, survivors)
    }
}

// A kill in the middle of `create` leaves a file without a magic number, which redb refuses to open
// from then on (found by `syscall`, in version 4). So a database gets its name when it is whole, as
// any user of redb can do it. That the name is durable is the user's matter, too; and whoever finds
// it does not know whether it is.
fn open(dir: &Path) -> Result<Database, SubjectError> {
    let path = dir.join("redb");
    if !path.try_exists()? {
        let new = dir.join("redb.new");
        if new.try_exists()? {
            fs::remove_file(&new)?;
        }
        drop(Database::create(&new)?);
        fs::rename(new, &path)?;
    }
    fs::File::open(dir)?.sync_all()?;
    with_table(Database::create(path)?)
}

/// The same on the simulated file system.
fn open_simulated(fs: &SimFs, dir: &Path) -> Result<Database, SubjectError> {
    if !fs.is_dir(dir) {
        fs.create_dir(dir)?;
    }
    fs.sync_dir("/")?;
    let path = dir.join("redb");
    if !fs.exists(&path) {
        let new = dir.join("redb.new");
        if fs.exists(&new) {
            fs.remove_file(&new)?;
        }
        drop(open_backend(fs, &new)?);
        fs.rename(new, &path)?;
    }
    fs.sync_dir(dir)?;
    with_table(open_backend(fs, &path)?)
}

fn open_backend(fs: &SimFs, path: &Path) -> Result<Database, DatabaseError> {
    let mut options = OpenOptions::new();
    let file = fs.open(path, options.read(true).write(true).create(true))?;
    if !file.try_lock() {
        return Err(DatabaseError::DatabaseAlreadyOpen);
    }
    Database::builder().create_with_backend(SimBackend(file))
}

fn with_table(database: Database) -> Result<Database, SubjectError> {
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(database)
}

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");

impl KeyValue for Database {
    fn put(&mut self, key: u64, value: &[u8]) -> Result<(), SubjectError> {
        let transaction = self.begin_write()?;
        transaction.open_table(TABLE)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: u64) -> Result<(), SubjectError> {
        let transaction = self.begin_write()?;
        transaction.open_table(TABLE)?.remove(key)?;
        Ok(transaction.commit()?)
    }

    fn for_each(&self, mut visit: impl FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        for row in self.begin_read()?.open_table(TABLE)?.iter()? {
            let (key, value) = row?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}

/// redb's storage on one simulated file: the calls of its own file backend.
#[derive(Debug)]
struct SimBackend(SimFile);

impl StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.0.write_at(data, offset)?;
            offset += written as u64;
            data = &data[written..];
        }
        Ok(())
    }
}
