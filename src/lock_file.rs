//! The file `LOCK`: its lock says which process owns the log, its bytes what was here once.
//!
//! # Layout
//!
//! Two records, each in a sector of its own, in a file of 4096 bytes. All integers are little-endian.
//!
//! ```text
//! offset  size
//!      0     8  magic       "gWlock-1"
//!      8    16  log_id      the log whose segments are in this directory
//!     24    32  zero
//!     56     8  checksum    CRC-64/NVME of the 56 bytes before
//!
//!    512     8  magic       "gWseal-1"
//!    520    16  log_id      as above
//!    536     8  segment_id  the segment in which the log was closed
//!    544     8  group       every group below it was durable
//!    552     8  next_seq    every entry below it was durable
//!    560     8  zero
//!    568     8  checksum    CRC-64/NVME of the 56 bytes before
//! ```
//!
//! The first record, the *mark*, is written once the log's first segment has its name for good, and before
//! the log acknowledges anything: without it a directory that has lost all its segments looks like
//! one in which the very first opening was interrupted. The second is written behind a seal. It stays
//! true when the log goes on: a lower bound of how far the log once went.
//!
//! Neither is needed to read a log. A log without them opens, as those of earlier versions do, and gets
//! them; a damaged record proves nothing about entries.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::frame::POSITION_MAX;
use crate::storage::{StorageFile, write_all_at};

const FILE_BYTES: usize = 4096;
const RECORD_BYTES: usize = 64;
const CHECKED_BYTES: usize = RECORD_BYTES - 8;
const CLOSED_OFFSET: usize = 512;
const MARK_MAGIC: [u8; 8] = *b"gWlock-1";
const CLOSED_MAGIC: [u8; 8] = *b"gWseal-1";

/// What LOCK says of the log in its directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) mark: Mark,
    /// How far the log had gone when it was closed; only of the log that the mark names.
    pub(crate) closed: Option<Closed>,
    /// The file is as long as it is made: a record needs no more room on the disk. A crash may have
    /// left it shorter.
    pub(crate) is_whole: bool,
}

/// Whether there was a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing says so.
    #[default]
    Absent,
    /// The log with this id.
    Log([u8; 16]),
    /// Bytes that no log writes there: damage, or not a log's file at all.
    Damaged,
}

/// How far a log had gone when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) segment_id: u64,
    /// Every group below it was durable.
    pub(crate) group: u64,
    /// Every entry below it was durable.
    pub(crate) next_seq: u64,
}

impl Evidence {
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(file: &dyn StorageFile, path: &Path) -> Result<Self> {
        let mut bytes = [0; FILE_BYTES];
        let mut done = 0;
        while done < FILE_BYTES {
            match file.read_at(&mut bytes[done..], done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", path, error)),
            }
        }
        Ok(Self {
            is_whole: done == FILE_BYTES,
            ..Self::decode(&bytes)
        })
    }

    fn decode(bytes: &[u8; FILE_BYTES]) -> Self {
        let mark = Mark::decode(&bytes[..RECORD_BYTES]);
        let closed = match mark {
            Mark::Log(log_id) => {
                let record = &bytes[CLOSED_OFFSET..CLOSED_OFFSET + RECORD_BYTES];
                Closed::decode(record, log_id)
            }
            Mark::Absent | Mark::Damaged => None,
        };
        Self {
            mark,
            closed,
            is_whole: true,
        }
    }

    /// Puts both records into the file in place of whatever is there, and makes them durable.
    ///
    /// # Errors
    /// An I/O error. Each record is the old one, the new one, or none then.
    pub(crate) fn write(&self, file: &dyn StorageFile, path: &Path) -> Result<()> {
        let mut bytes = [0; FILE_BYTES];
        if let Mark::Log(log_id) = self.mark {
            let record = &mut bytes[..RECORD_BYTES];
            record[8..24].copy_from_slice(&log_id);
            seal_record(record, MARK_MAGIC);
            if let Some(closed) = self.closed {
                closed.encode(log_id, &mut bytes[CLOSED_OFFSET..]);
            }
        }
        write_all_at(file, &bytes, 0).map_err(|error| Error::io("write", path, error))?;
        file.sync_all()
            .map_err(|error| Error::io("sync", path, error))
    }
}

impl Mark {
    fn decode(record: &[u8]) -> Self {
        if record.iter().all(|byte| *byte == 0) {
            Self::Absent
        } else if is_record(record, MARK_MAGIC) {
            Self::Log(*record[8..].first_chunk().expect("in range"))
        } else {
            Self::Damaged
        }
    }
}

impl Closed {
    fn decode(record: &[u8], log_id: [u8; 16]) -> Option<Self> {
        let u64_at = |at: usize| u64::from_le_bytes(*record[at..].first_chunk().expect("in range"));
        let found = Self {
            segment_id: u64_at(24),
            group: u64_at(32),
            next_seq: u64_at(40),
        };
        let is_whole = is_record(record, CLOSED_MAGIC) && record[8..24] == log_id;
        let is_possible = found.group < POSITION_MAX && found.next_seq < POSITION_MAX;
        (is_whole && is_possible).then_some(found)
    }

    fn encode(self, log_id: [u8; 16], record: &mut [u8]) {
        let record = &mut record[..RECORD_BYTES];
        record[8..24].copy_from_slice(&log_id);
        record[24..32].copy_from_slice(&self.segment_id.to_le_bytes());
        record[32..40].copy_from_slice(&self.group.to_le_bytes());
        record[40..48].copy_from_slice(&self.next_seq.to_le_bytes());
        seal_record(record, CLOSED_MAGIC);
    }

    /// Puts it into the file, where it is durable once the file has been synced.
    ///
    /// # Errors
    /// An I/O error. The file holds the old record, the new one, or none then.
    pub(crate) fn write(self, log_id: [u8; 16], file: &dyn StorageFile, path: &Path) -> Result<()> {
        // Its whole sector, and no other.
        let mut sector = [0; 512];
        self.encode(log_id, &mut sector);
        write_all_at(file, &sector, CLOSED_OFFSET as u64)
            .map_err(|error| Error::io("write", path, error))
    }
}

fn is_record(record: &[u8], magic: [u8; 8]) -> bool {
    let checksum = u64::from_le_bytes(*record[CHECKED_BYTES..].first_chunk().expect("in range"));
    record[..8] == magic && checksum == crc_fast::crc64_nvme(&record[..CHECKED_BYTES])
}

fn seal_record(record: &mut [u8], magic: [u8; 8]) {
    record[..8].copy_from_slice(&magic);
    let checksum = crc_fast::crc64_nvme(&record[..CHECKED_BYTES]);
    record[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
}
