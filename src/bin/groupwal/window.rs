//! A file of any length, read through a window of bounded size.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use groupwal::{StorageDir, StorageFile};

use crate::failure::Failure;

/// How much is read at once; more only for an entry that is longer.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// A file of MuopDB's.
pub(crate) struct File {
    pub(crate) dir: Arc<dyn StorageDir>,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
}

/// The piece of a file that is in memory.
pub(crate) struct Window<'a> {
    file: &'a File,
    content: Arc<dyn StorageFile>,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken.
    taken: usize,
    /// Where the rest of the buffer begins in the file.
    offset: u64,
}

impl<'a> Window<'a> {
    /// Opens the file; it is open for as long as the window is there.
    pub(crate) fn open(file: &'a File) -> Result<Self, Failure> {
        let content = file.dir.open_read_only(&file.name).map_err(|error| {
            let path = file.path.display();
            Failure::Refused(format!("cannot read {path}: {error}"))
        })?;
        Ok(Self {
            file,
            content,
            buffer: Vec::new(),
            taken: 0,
            offset: 0,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes left in the file.
    pub(crate) fn left(&self) -> u64 {
        self.file.len - self.offset
    }

    pub(crate) fn take(&mut self, len: usize) {
        self.taken += len;
        self.offset += len as u64;
    }

    /// Makes `len` bytes available, or all that are left, and reads ahead.
    pub(crate) fn ensure(&mut self, len: usize) -> Result<(), Failure> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let had = self.buffer.len();
        let wanted = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let wanted = wanted.min(len.max(READ_BYTES));
        self.buffer.resize(wanted.max(had), 0);
        let mut read = had;
        while read < self.buffer.len() {
            let at = self.offset + read as u64;
            match self.content.read_at(&mut self.buffer[read..], at) {
                Ok(0) => {
                    let path = self.file.path.display();
                    return Err(Failure::Refused(format!(
                        "{path} gets shorter while it is read"
                    )));
                }
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let path = self.file.path.display();
                    return Err(Failure::Refused(format!("cannot read {path}: {error}")));
                }
            }
        }
        Ok(())
    }
}
