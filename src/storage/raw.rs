//! A file's descriptor, where there is one for the kernel.

use std::io;
use std::os::fd::BorrowedFd;

use crate::frame::BUFFER_ALIGN;

/// An open file's descriptor, and what it can do.
#[derive(Clone, Copy, Debug)]
pub struct RawFile<'a> {
    fd: BorrowedFd<'a>,
    align: usize,
    write_syncs: bool,
}

impl<'a> RawFile<'a> {
    /// A descriptor that is open for writing.
    pub fn new(fd: BorrowedFd<'a>) -> Self {
        Self {
            fd,
            align: 1,
            write_syncs: false,
        }
    }

    /// Memory, offset and length of a write are multiples of so many bytes, a power of two, as
    /// `O_DIRECT` asks. Default: 1.
    #[must_use]
    pub fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// A write with `RWF_DSYNC` owes what [`StorageFile::write_at`](crate::StorageFile::write_at) and
    /// [`StorageFile::sync_data`](crate::StorageFile::sync_data) owe together. Default: no.
    #[must_use]
    pub fn write_syncs(mut self, syncs: bool) -> Self {
        self.write_syncs = syncs;
        self
    }

    /// Whether whole blocks of this size, in memory aligned to a group's buffer, can be written.
    pub(crate) fn takes_blocks(&self, block_bytes: u32) -> bool {
        let block = block_bytes as usize;
        block.is_multiple_of(self.align) && BUFFER_ALIGN.is_multiple_of(self.align)
    }

    /// Whether a write can sync by itself.
    pub(crate) fn can_sync_writes(&self) -> bool {
        cfg!(target_os = "linux") && self.write_syncs
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn fd(&self) -> BorrowedFd<'a> {
        self.fd
    }

    /// Whether writes go past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.align > 1
    }

    /// Writes at `offset`; nothing of it is durable yet.
    #[cfg(target_os = "linux")]
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwrite(self.fd, bytes, offset)?)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes at `offset` and makes what was written durable, in one call.
    #[cfg(target_os = "linux")]
    pub(super) fn write_durable_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        use rustix::io::{ReadWriteFlags, pwritev2};
        let whole = [io::IoSlice::new(bytes)];
        Ok(pwritev2(self.fd, &whole, offset, ReadWriteFlags::DSYNC)?)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn write_durable_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        let _ = self.fd;
        Err(io::ErrorKind::Unsupported.into())
    }
}
