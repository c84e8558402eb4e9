//! What WRITE asks for.

use fuser::{INodeNo, OpenFlags, WriteFlags};

use super::convert::node_of;
use super::live::{Done, Live, OwnSync};
use crate::sim::Ino;

/// A write, without its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    ino: Ino,
    offset: u64,
    /// A page of a mapped file that is written back, not a call.
    pub(super) is_page: bool,
    /// The file loses the bits of its mode that lend its owner's rights.
    drops_privileges: bool,
    /// It is durable when it ends, of its data alone or all of it. A write through the page cache is not
    /// durable by itself: a request of its own follows.
    syncs: Option<bool>,
}

impl Write {
    pub(super) fn new(
        number: INodeNo,
        offset: u64,
        flags: WriteFlags,
        OpenFlags(opened): OpenFlags,
    ) -> Self {
        let has = |flag: i32| opened & flag == flag;
        let is_page = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let syncs = !is_page && has(libc::O_DIRECT | libc::O_DSYNC);
        Self {
            ino: node_of(number),
            offset,
            is_page,
            drops_privileges: flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
            syncs: syncs.then_some(!has(libc::O_SYNC)),
        }
    }
}

impl Live {
    /// Writes, and returns the number of bytes that were written.
    pub(super) fn carry_out(&mut self, write: Write, bytes: &[u8]) -> Done<usize> {
        let Write { ino, offset, .. } = write;
        if write.drops_privileges {
            self.drop_privileges(ino)?;
        }
        if write.is_page {
            self.write(ino, offset, bytes)?;
            return Ok(bytes.len());
        }
        let count = self.write_or_fail(ino, offset, bytes)?;
        // The kernel asks for a sync only after a call that has waited for the write: libaio and io_uring
        // return before, and the flags of the write are all that is known.
        if let Some(data_only) = write.syncs {
            self.sync_or_fail(ino, data_only)?;
            self.own_sync = Some(self.own_sync_of(ino, data_only));
        }
        Ok(count)
    }

    fn own_sync_of(&self, ino: Ino, data_only: bool) -> OwnSync {
        let acts = self.past.acts().len();
        OwnSync {
            ino,
            data_only,
            acts,
        }
    }

    /// A sync that is asked for: by a program, or by the kernel behind a write. What has been done with the
    /// write is not done once more.
    pub(super) fn sync_once(&mut self, ino: Ino, data_only: bool) -> Done<()> {
        if self.own_sync.take() == Some(self.own_sync_of(ino, data_only)) {
            return Ok(());
        }
        self.sync_or_fail(ino, data_only)
    }
}
