//! Other people's stores under the same torture: redb and `SQLite`. Behind the feature `neighbours`.

use std::path::Path;
use std::time::Duration;

use plugpull::oracle::{KeyValueOracle, Oracle};
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

/// The few things that a torture needs of a key-value store.
trait KeyValue: Sized {
    fn open(dir: &Path) -> Result<Self, SubjectError>;
    fn put(&mut self, key: u64, value: &[u8]) -> Result<(), SubjectError>;
    fn delete(&mut self, key: u64) -> Result<(), SubjectError>;
    fn for_each(&self, visit: impl FnMut(u64, &[u8])) -> Result<(), SubjectError>;
}

fn write<S: KeyValue>(run: &WriteRun) -> Result<(), SubjectError> {
    let mut store = S::open(run.dir)?;
    for action in run.workload.actions(0) {
        let key = run.workload.key(action.id);
        if run.workload.deletes(action.id) {
            run.recorder.attempt_delete(action.id, key);
            store.delete(key)?;
        } else {
            run.recorder.attempt_put(action.id, key);
            store.put(key, &run.workload.payload(action.id))?;
        }
        run.recorder.ack(action.id, key);
    }
    Ok(())
}

fn recover<S: KeyValue>(run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
    S::open(run.dir)?.for_each(|key, value| survivors.push(key, value))
}

/// redb, one transaction a write, durability immediate.
pub(crate) struct Redb;

impl Subject for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(KeyValueOracle::default())
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        write::<redb::Database>(run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover::<redb::Database>(run, survivors)
    }
}

const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("entries");

impl KeyValue for redb::Database {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        // A kill in the middle of `create` leaves a file without a magic number, which redb refuses to
        // open from then on (found by `syscall`, in version 4). So a database gets its name when it
        // is whole, as any user of redb can do it.
        let path = dir.join("redb");
        if !path.try_exists()? {
            let new = dir.join("redb.new");
            if new.try_exists()? {
                std::fs::remove_file(&new)?;
            }
            drop(Self::create(&new)?);
            std::fs::rename(new, &path)?;
            std::fs::File::open(dir)?.sync_all()?;
        }
        let database = Self::create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(database)
    }

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
        use redb::{ReadableDatabase, ReadableTable};
        for row in self.begin_read()?.open_table(TABLE)?.iter()? {
            let (key, value) = row?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}

/// `SQLite` in WAL mode, `synchronous = FULL`, one transaction a write.
pub(crate) struct Sqlite;

impl Subject for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(KeyValueOracle::default())
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        write::<rusqlite::Connection>(run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover::<rusqlite::Connection>(run, survivors)
    }
}

impl KeyValue for rusqlite::Connection {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        let connection = Self::open(dir.join("sqlite.db"))?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16;
             CREATE TABLE IF NOT EXISTS entries (key INTEGER PRIMARY KEY, value BLOB NOT NULL);",
        )?;
        Ok(connection)
    }

    fn put(&mut self, key: u64, value: &[u8]) -> Result<(), SubjectError> {
        let key = i64::try_from(key)?;
        let sql = "INSERT INTO entries VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
        self.execute(sql, (key, value))?;
        Ok(())
    }

    fn delete(&mut self, key: u64) -> Result<(), SubjectError> {
        self.execute("DELETE FROM entries WHERE key = ?1", [i64::try_from(key)?])?;
        Ok(())
    }

    fn for_each(&self, mut visit: impl FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let mut statement = self.prepare("SELECT key, value FROM entries ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(
                u64::try_from(row.get::<_, i64>(0)?)?,
                row.get_ref(1)?.as_blob()?,
            );
        }
        Ok(())
    }
}
