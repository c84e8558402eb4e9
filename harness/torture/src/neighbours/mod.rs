//! Other people's stores under the same torture: redb and `SQLite`. Behind the feature `neighbours`.

mod key_value;
mod redb;
mod sqlite;

pub(crate) use self::redb::Redb;
pub(crate) use self::sqlite::Sqlite;
