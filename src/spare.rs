//! A file that is to be made into a segment: its content means nothing yet.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::segment::SegmentHeader;
use crate::storage::{StorageFile, write_all, write_all_at};
use crate::sync::Arc;

/// How much of a new file is filled at once: little enough that a group's write, which may come in
/// between, hardly waits for it.
const FILL_BYTES: usize = 256 << 10;

/// Aligned for `O_DIRECT`.
#[repr(align(4096))]
struct Zeros([u8; FILL_BYTES]);

static ZEROS: Zeros = Zeros([0; FILL_BYTES]);

/// A file with a spare name, locked.
pub(crate) struct Spare {
    pub(crate) name: String,
    /// Where it is, for messages.
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
}

impl Spare {
    /// Fills some more of a new file with zeros, up to `len` at most. Returns how much is filled.
    ///
    /// Every block is written: overwriting written blocks later needs no change of the file's
    /// metadata, so a group's sync is one device write, where merely allocated blocks would commit
    /// the file system's journal each time.
    pub(crate) fn fill(&self, filled: u64, len: u64) -> Result<u64> {
        let at = |operation, error| Error::io(operation, &self.path, error);
        let left = usize::try_from(len - filled).unwrap_or(usize::MAX);
        let zeros = &ZEROS.0[..left.min(FILL_BYTES)];
        let filled_then = filled + zeros.len() as u64;
        let direct = self.file.raw().filter(|raw| {
            raw.is_direct() && u32::try_from(zeros.len()).is_ok_and(|len| raw.takes_blocks(len))
        });
        match direct {
            Some(raw) => write_all(zeros, filled, |bytes, offset| raw.write_at(bytes, offset)),
            None => write_all_at(&*self.file, zeros, filled),
        }
        .map_err(|error| at("fill", error))?;
        if direct.is_none() && filled_then < len {
            // What piles up in the page cache is written at once later, and holds up whatever
            // writes then.
            self.file.sync_data().map_err(|error| at("sync", error))?;
        }
        Ok(filled_then)
    }

    /// Writes the header over whatever the file held, and makes the file durable.
    pub(crate) fn initialise(&self, header: &SegmentHeader) -> Result<()> {
        let at = |operation, error| Error::io(operation, &self.path, error);
        write_all_at(&*self.file, &header.encode(), 0).map_err(|error| at("write", error))?;
        self.file.sync_all().map_err(|error| at("sync", error))
    }
}
