//! An open file.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::nodes::{Ino, Node};
use super::options::OpenOptions;
use super::record::Call;
use super::state::Core;

/// An open file, or an open directory, which can only be synced.
///
/// Dropping it makes nothing durable, and gives up its lock.
pub struct SimFile {
    pub(super) core: Core,
    pub(super) ino: Ino,
    readable: bool,
    writable: bool,
    append: bool,
    cursor: u64,
    holds_lock: AtomicBool,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("inode", &self.ino)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl SimFile {
    pub(super) fn new(core: Core, ino: Ino, options: &OpenOptions) -> Self {
        Self {
            core,
            ino,
            readable: options.read,
            writable: options.writes(),
            append: options.append,
            cursor: 0,
            holds_lock: AtomicBool::new(false),
        }
    }

    fn allowed(what: bool) -> io::Result<()> {
        if what {
            return Ok(());
        }
        // As EBADF: opened for something else.
        Err(Errno::EBADF.into())
    }

    /// Reads at `offset`; less than asked for only at the end of the file.
    ///
    /// # Errors
    /// As pread(2), or as planned.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        offset_in_range(offset)?;
        Self::allowed(self.readable)?;
        self.core.lock().read(self.ino, bytes, offset)
    }

    /// Writes at `offset`; at the end if the file was opened for appending, as Linux does.
    ///
    /// # Errors
    /// As pwrite(2), or as planned.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        offset_in_range(offset)?;
        Self::allowed(self.writable)?;
        let mut state = self.core.lock();
        let offset = if self.append {
            state.disk.file(self.ino)?.live.len()
        } else {
            offset
        };
        state.write(self.ino, bytes, offset)
    }

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// As ftruncate(2), or as planned.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        offset_in_range(len)?;
        if !self.writable {
            // Not EBADF, as for a write.
            return Err(Errno::EINVAL.into());
        }
        self.core.lock().set_len(self.ino, len)
    }

    /// Reserves space: grows the file with zeros up to `len`, never cuts it.
    ///
    /// # Errors
    /// As fallocate(2), or as planned.
    pub fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len {
            self.set_len(len)?;
        }
        Ok(())
    }

    /// Puts zeros over a range and gives its space back. The file's length stays as it is.
    ///
    /// # Errors
    /// As fallocate(2) with `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_KEEP_SIZE`.
    pub fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        offset_in_range(offset)?;
        Self::allowed(self.writable)?;
        self.core.lock().punch_hole(self.ino, offset, len)
    }

    /// fdatasync.
    ///
    /// # Errors
    /// As fdatasync(2), or as planned.
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync(Call::SyncData)
    }

    /// fsync.
    ///
    /// # Errors
    /// As fsync(2), or as planned.
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        self.sync(Call::SyncAll)
    }

    #[track_caller]
    fn sync(&self, call: Call) -> io::Result<()> {
        let mut state = self.core.lock();
        let call = match state.disk.node(self.ino) {
            Node::File(_) => call,
            Node::Dir(_) | Node::Special(_) => Call::SyncDir,
        };
        state.sync(self.ino, call, Location::caller())
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// If it is a directory.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.core.lock().disk.file(self.ino)?.live.len())
    }

    /// Whether it is empty.
    ///
    /// # Errors
    /// If it is a directory.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The file's number, which it keeps under every name.
    pub fn inode(&self) -> u64 {
        self.ino as u64
    }

    /// Takes the file's lock if it is free, as flock(2) does; held until this handle is dropped or gives
    /// it back.
    pub fn try_lock(&self) -> bool {
        if self.holds_lock.load(Ordering::Relaxed) {
            return true;
        }
        let taken = self.core.lock().locks.insert(self.ino);
        self.holds_lock.store(taken, Ordering::Relaxed);
        taken
    }
}

impl SimFile {
    /// Gives the lock back, if this handle holds it.
    pub fn unlock(&self) {
        if self.holds_lock.swap(false, Ordering::Relaxed) {
            self.core.lock().locks.remove(&self.ino);
        }
    }
}

/// To the system offsets and lengths have a sign.
fn offset_in_range(offset: u64) -> io::Result<()> {
    match i64::try_from(offset) {
        Ok(_) => Ok(()),
        Err(_) => Err(Errno::EINVAL.into()),
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Read for SimFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = self.read_at(bytes, self.cursor)?;
        self.cursor += len as u64;
        Ok(len)
    }
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nothing written, nothing moved.
        if self.append && !bytes.is_empty() {
            self.cursor = self.len()?;
        }
        let len = self.write_at(bytes, self.cursor)?;
        self.cursor += len as u64;
        Ok(len)
    }

    /// Nothing is buffered here, and nothing becomes durable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SimFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.cursor.checked_add_signed(by),
            SeekFrom::End(by) => self.len()?.checked_add_signed(by),
        };
        let target = target.ok_or(Errno::EINVAL)?;
        offset_in_range(target)?;
        self.cursor = target;
        Ok(self.cursor)
    }
}
