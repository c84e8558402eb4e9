//! One file a store.

mod cacache;
mod canopydb;
mod fjall;
mod heed;
mod jammdb;
mod mrecordlog;
mod native_db;
mod okaywal;
mod okaywal_storage;
mod persy;
mod raft_engine;
mod redb;
mod redb_simulated;
mod sled;
mod sqlite;
mod surrealkv;
mod tantivy;
mod wal_db;
mod writeahead;

use plugpull::Subject;

/// All of them, each durable mode before the weaker ones of the same store.
pub(crate) fn all() -> Vec<Box<dyn Subject>> {
    let stores = [
        cacache::subjects(),
        canopydb::subjects(),
        fjall::subjects(),
        heed::subjects(),
        jammdb::subjects(),
        mrecordlog::subjects(),
        native_db::subjects(),
        okaywal::subjects(),
        persy::subjects(),
        raft_engine::subjects(),
        redb::subjects(),
        sled::subjects(),
        sqlite::subjects(),
        surrealkv::subjects(),
        tantivy::subjects(),
        wal_db::subjects(),
        writeahead::subjects(),
    ];
    let subjects = stores.into_iter().flatten();
    subjects
        .map(|subject| Box::new(subject) as Box<dyn Subject>)
        .collect()
}
