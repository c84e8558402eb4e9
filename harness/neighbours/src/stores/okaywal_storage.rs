//! The storage that okaywal stands before: a file that each checkpoint replaces as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::journal::Entries;
use crate::turns::lock;

/// Shared with the log's checkpointing thread.
#[derive(Clone, Debug)]
pub(super) struct Storage(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dir: PathBuf,
    /// The last entry that has gone into the file; 0 before the first.
    checkpointed: u64,
    /// What is in the file.
    stored: Entries,
    /// The same, and what the log has recovered.
    recovered: Entries,
}

impl Storage {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let file = match fs::read(dir.join("storage")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![0; 8],
            read => read?,
        };
        let (checkpointed, records) = file.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let stored = Entries::decode(records)?;
        Ok(Self(Arc::new(Mutex::new(State {
            dir: dir.to_owned(),
            checkpointed: u64::from_le_bytes(*checkpointed),
            recovered: stored.clone(),
            stored,
        }))))
    }

    pub(super) fn recovered(&self) -> Entries {
        lock(&self.0).recovered.clone()
    }
}

/// The entry's record, if it was committed and is not in the file.
fn record(entry: &mut Entry<'_>, checkpointed: u64) -> io::Result<Option<Vec<u8>>> {
    // "When these situations arise, the entire entry that was being read should be ignored": an aborted entry,
    // and "an unexpected end-of-file error" (`Entry::read_chunk`).
    let chunks = match entry.read_all_chunks() {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        read => read?.filter(|chunks| !chunks.is_empty()),
    };
    let id = entry.id().0;
    Ok(chunks
        .filter(|_| id > checkpointed)
        .map(|chunks| chunks.concat()))
}

impl LogManager for Storage {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let mut state = lock(&self.0);
        match record(entry, state.checkpointed)? {
            Some(record) => state.recovered.apply(&record),
            None => Ok(()),
        }
    }

    fn checkpoint_to(
        &mut self,
        last: EntryId,
        segment: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        let mut state = lock(&self.0);
        while let Some(mut entry) = segment.read_entry()? {
            if let Some(record) = record(&mut entry, state.checkpointed)? {
                state.stored.apply(&record)?;
            }
        }
        state.checkpointed = state.checkpointed.max(last.0);
        let new = state.dir.join("storage.new");
        let mut file = File::create(&new)?;
        file.write_all(&state.checkpointed.to_le_bytes())?;
        file.write_all(&state.stored.encode())?;
        file.sync_all()?;
        fs::rename(new, state.dir.join("storage"))?;
        File::open(&state.dir)?.sync_all()
    }
}
