//! A disk as the kernel sees it: a file system with one file.
//!
//! The file bypasses the page cache, so that whatever the kernel does to it arrives here: writes,
//! fsync for a flush, fallocate for a discard or a write of zeros.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, WriteFlags,
};
use nix::fcntl::FallocateFlags;

use super::core::Core;
use super::record::Request;

/// The file's name in its file system.
pub(super) const FILE_NAME: &str = "disk";

const FILE: INodeNo = INodeNo(2);
/// The kernel may believe what it knows about the file for so long: it never changes.
const FOREVER: Duration = Duration::from_secs(1 << 30);
/// The largest write that the kernel may send in one piece.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// A directory with one file in it.
pub(super) struct OneFile(pub(super) Arc<Core>);

impl OneFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        let bytes = if is_file { self.0.bytes() } else { 0 };
        let time = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino: inode,
            size: bytes,
            blocks: bytes / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: if is_file {
                FileType::RegularFile
            } else {
                FileType::Directory
            },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn is_inside(&self, offset: u64, bytes: u64) -> bool {
        offset
            .checked_add(bytes)
            .is_some_and(|end| end <= self.0.bytes())
    }
}

impl Filesystem for OneFile {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that wants less has said so and gets it.
        config.set_max_write(WRITE_BYTES_MAX).ok();
        Ok(())
    }

    fn lookup(&self, _: &fuser::Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == FILE_NAME {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &fuser::Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let direct = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(0), direct | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = u64::from(size).min(self.0.bytes().saturating_sub(offset));
        let mut buffer = vec![0; super::image::index(bytes)];
        self.0.read(offset, &mut buffer);
        reply.data(&buffer);
    }

    fn write(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let arrived = self.0.arrive();
        let size = u32::try_from(data.len());
        let Some(size) = size
            .ok()
            .filter(|size| self.is_inside(offset, u64::from(*size)))
        else {
            return reply.error(Errno::ENOSPC);
        };
        let fua = flags.0 & libc::O_DSYNC != 0;
        match self.0.carry_out(arrived, Request::write(offset, data, fua)) {
            Ok(()) => reply.written(size),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let arrived = self.0.arrive();
        match self.0.carry_out(arrived, Request::flush()) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fallocate(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let arrived = self.0.arrive();
        let mode = FallocateFlags::from_bits_retain(mode);
        let zeros = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        if !mode.intersects(zeros) || !self.is_inside(offset, bytes) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        match self.0.carry_out(arrived, Request::zero(offset, bytes)) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}
