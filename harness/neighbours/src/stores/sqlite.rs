//! `SQLite`, through rusqlite with its own copy of the library: WAL and rollback journal.
//!
//! Promise, WAL: "With synchronous=FULL in WAL mode, an additional sync operation of the WAL file happens after each
//! transaction commit. The extra WAL sync following each transaction helps ensure that transactions are durable across
//! a power loss." Rollback journal: "EXTRA provides additional durability if the commit is followed closely by a power
//! loss." (<https://www.sqlite.org/pragma.html#pragma_synchronous>)
//!
//! Weak modes (same page): in WAL mode with `NORMAL` "no sync operations occur during most transactions"; with a rollback
//! journal `FULL` lacks what `EXTRA` adds: "the directory containing a rollback journal is synced after that journal is
//! unlinked to commit a transaction".

use std::path::Path;
use std::sync::Mutex;

use plugpull::SubjectError;
use rusqlite::Connection;

use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;
use crate::turns::{into_inner, lock};

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("sqlite", |dir| Sqlite::open(dir, "wal", "FULL")),
        Neighbour::key_value("sqlite-delete", |dir| Sqlite::open(dir, "delete", "EXTRA")),
        Neighbour::key_value("sqlite-normal", |dir| Sqlite::open(dir, "wal", "NORMAL"))
            .weak("the WAL is synced at checkpoints only"),
        Neighbour::key_value("sqlite-delete-full", |dir| {
            Sqlite::open(dir, "delete", "FULL")
        })
        .weak("the directory is not synced after the journal is removed"),
    ]
}

struct Sqlite(Mutex<Connection>);

const PUT: &str = "INSERT INTO entries VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";

impl Sqlite {
    fn open(dir: &Path, journal: &str, synchronous: &str) -> Result<Self, SubjectError> {
        let connection = Connection::open(dir.join("sqlite.db"))?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = {journal}; PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = 16;
             CREATE TABLE IF NOT EXISTS entries (key INTEGER PRIMARY KEY, value BLOB NOT NULL);"
        ))?;
        // After an I/O error it may stay with the rollback journal without a word.
        let mode: String = connection.query_row("PRAGMA journal_mode", (), |row| row.get(0))?;
        if mode != journal {
            return Err(format!("the journal mode is '{mode}' instead of '{journal}'").into());
        }
        Ok(Self(Mutex::new(connection)))
    }
}

impl KeyValue for Sqlite {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let connection = lock(&self.0);
        let key = i64::try_from(key)?;
        match value {
            Some(value) => connection.execute(PUT, (key, value))?,
            None => connection.execute("DELETE FROM entries WHERE key = ?1", [key])?,
        };
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let connection = lock(&self.0);
        let mut statement = connection.prepare("SELECT key, value FROM entries ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = u64::try_from(row.get::<_, i64>(0)?)?;
            visit(key, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }

    fn close(self) -> Result<(), SubjectError> {
        Ok(into_inner(self.0).close().map_err(|(_, error)| error)?)
    }
}
