//! `SQLite` in WAL mode, `synchronous = FULL`.

use std::path::Path;
use std::time::Duration;

use plugpull::oracle::{KeyValueOracle, Oracle};
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};
use rusqlite::Connection;

use super::key_value::{KeyValue, show, write};

/// The subject.
pub(crate) struct Sqlite;

impl Subject for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
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
}

fn open(dir: &Path) -> Result<Connection, SubjectError> {
    let connection = Connection::open(dir.join("sqlite.db"))?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16;
         CREATE TABLE IF NOT EXISTS entries (key INTEGER PRIMARY KEY, value BLOB NOT NULL);",
    )?;
    // After an I/O error SQLite may stay with the rollback journal without a word. That one loses the last
    // commit by design when the power goes: the journal's unlinking is not synced.
    let mode: String = connection.query_row("PRAGMA journal_mode", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("the journal mode is '{mode}' instead of 'wal'").into());
    }
    Ok(connection)
}

impl KeyValue for Connection {
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
