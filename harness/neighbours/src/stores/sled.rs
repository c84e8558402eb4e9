//! sled 0.34: every write is followed by `Tree::flush`.
//!
//! Promise: "Synchronously flushes all dirty IO buffers and calls fsync. If this succeeds, it is guaranteed that all
//! previous writes will be recovered if the system crashes" (`Tree::flush`,
//! <https://docs.rs/sled/0.34.7/sled/struct.Tree.html#method.flush>).
//!
//! Weak mode: without the flush, "sled automatically tries to sync all data to disk several times per second in the
//! background without blocking user threads" (README).

use std::path::Path;
use std::thread;

use plugpull::SubjectError;

use crate::creation;
use crate::key_value::{KeyValue, key_of};
use crate::neighbour::Neighbour;

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::key_value("sled", |dir| Sled::open(dir, true)).created_aside(),
        Neighbour::key_value("sled-unflushed", |dir| Sled::open(dir, false))
            .created_aside()
            .weak("writes are flushed in the background, after they have returned"),
        Neighbour::key_value("sled-created-in-place", |dir| Sled::open(dir, true))
            .weak(creation::IN_PLACE),
    ]
}

struct Sled {
    database: sled::Db,
    flushes: bool,
}

impl Sled {
    fn open(dir: &Path, flushes: bool) -> Result<Self, SubjectError> {
        loop {
            match sled::open(dir) {
                // A store that was dropped lets go of its lock a moment later, on a thread of its own.
                Err(sled::Error::Io(error)) if error.to_string().contains(LOCKED) => {
                    thread::yield_now();
                }
                opened => {
                    return Ok(Self {
                        database: opened?,
                        flushes,
                    });
                }
            }
        }
    }
}

const LOCKED: &str = "could not acquire lock";

impl KeyValue for Sled {
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        match value {
            Some(value) => self.database.insert(key.to_be_bytes(), value)?,
            None => self.database.remove(key.to_be_bytes())?,
        };
        if self.flushes {
            self.database.flush()?;
        }
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        for entry in self.database.iter() {
            let (key, value) = entry?;
            visit(key_of(&key)?, &value);
        }
        Ok(())
    }
}
