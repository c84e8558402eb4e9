//! wal-db, a write-ahead log: in one file, and in segments. Every append is followed by `sync`.
//!
//! Promise: "`sync` returns only when every record appended before it is on stable storage and will survive a power
//! loss" (README, The durability contract, <https://docs.rs/wal-db/1.1>).
//!
//! Weak mode: "`append` returns when the record is in the operating system's page cache. A crash after `append` but
//! before `sync` may lose that record" (same place).

use std::path::Path;

use plugpull::SubjectError;
use wal_db::{Wal, WalStore};

use crate::log::Log;
use crate::neighbour::Neighbour;

/// Small enough for several segments within one run; records may span them.
const SEGMENT_BYTES: u64 = 4096;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::log("wal-db", |dir| open_file(dir, true)),
        Neighbour::log("wal-db-segmented", |dir| open_segments(dir, true)),
        Neighbour::log("wal-db-unsynced", |dir| open_file(dir, false))
            .weak("appends reach the operating system, and no sync follows"),
    ]
}

struct Store<S> {
    wal: Wal<S>,
    syncs: bool,
}

fn open_file(dir: &Path, syncs: bool) -> Result<impl Log + use<>, SubjectError> {
    let wal = Wal::open(dir.join("wal"))?;
    Store::new(wal, syncs)
}

fn open_segments(dir: &Path, syncs: bool) -> Result<impl Log + use<>, SubjectError> {
    let wal = Wal::open_segmented(dir, SEGMENT_BYTES)?;
    Store::new(wal, syncs)
}

impl<S: WalStore> Store<S> {
    fn new(wal: Wal<S>, syncs: bool) -> Result<Self, SubjectError> {
        if syncs {
            // What a killed process has written is shown, but need not be durable.
            wal.sync()?;
        }
        Ok(Self { wal, syncs })
    }
}

impl<S: WalStore> Log for Store<S> {
    fn append(&self, payload: &[u8]) -> Result<(), SubjectError> {
        self.wal.append(payload).map(drop)?;
        Ok(())
    }

    fn sync(&self) -> Result<(), SubjectError> {
        if self.syncs {
            self.wal.sync()?;
        }
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), SubjectError> {
        for record in self.wal.iter()? {
            visit(record?.data());
        }
        Ok(())
    }
}
