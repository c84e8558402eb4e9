//! What the kernel asks for, and what it is answered.
//!
//! The kernel keeps pages and attributes: every write, every change of a name and every sync is a request
//! and arrives before its call returns, but for stores to a mapped file. Only FSYNC and FSYNCDIR make
//! something durable. A close is none of them, nor is what is written back when a program ends.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use fuser::{
    BsdFileFlags, Errno as Refused, FileAttr, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;

use super::answers::{self, number as error};
use super::convert::{BLOCK_BYTES, FOREVER, attributes, kind_of, node_of};
use super::later::{Later, Syncing, WriteBacks};
use super::listing::Listings;
use super::live::{Done, Live};
use super::operations::{Attributes, New};
use super::shared::Shared;
use super::writes::Write;
use crate::injection::Class;
use crate::sim::Node;
use crate::tree::Kind;

/// The largest write that the kernel may send in one piece.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Pages stay in the kernel when a file is opened again, and a close asks for nothing.
const KEPT: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);
/// What statfs(2) tells: more room than a run may fill.
const BLOCKS: u64 = 1 << 24;
const NAME_BYTES_MAX: u32 = 255;

/// A file system that the kernel asks.
#[derive(Debug)]
pub(crate) struct Requests {
    shared: Arc<Shared>,
    write_backs: WriteBacks,
    later: Option<Later>,
    listings: Listings,
}

impl Requests {
    pub(crate) fn new(shared: Arc<Shared>, write_backs: WriteBacks) -> Self {
        Self {
            shared,
            write_backs,
            later: None,
            listings: Listings::default(),
        }
    }

    fn later(&self) -> &Later {
        self.later.as_ref().expect("it begins with INIT")
    }

    fn make(&self, request: &Request, new: New<'_>) -> Done<FileAttr> {
        self.shared.change(|live| live.make(new, request))
    }

    fn sync(&self, number: INodeNo, data_only: bool, reply: ReplyEmpty) {
        self.later().holding.passed();
        let ino = node_of(number);
        if self.shared.has_mappings() {
            return self.later().sync(Syncing {
                ino,
                data_only,
                reply,
            });
        }
        answers::empty(
            self.shared.change(|live| live.sync_once(ino, data_only)),
            reply,
        );
    }
}

impl Filesystem for Requests {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that wants less has said so and gets it.
        config.set_max_write(WRITE_BYTES_MAX).ok();
        for wanted in [
            // Without it, each write asks for an attribute first.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ] {
            config.add_capabilities(wanted).ok();
        }
        self.later = Some(Later::start(&self.shared, self.write_backs.clone())?);
        Ok(())
    }

    fn forget(&self, _: &Request, number: INodeNo, _: u64) {
        self.shared.live().forget(node_of(number));
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut live = self.shared.live();
        let found = match name.to_str() {
            Some(_) => live.place(node_of(parent), name),
            // Nothing has such a name.
            None => Err(Errno::ENOENT),
        };
        let found = found.and_then(|place| live.find(&place)?.ok_or(Errno::ENOENT));
        answers::entry(found.map(|ino| attributes(&live, ino)), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = attributes(&self.shared.live(), node_of(number));
        reply.attr(&FOREVER, &attributes);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        owner: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let new = Attributes {
            mode,
            owner,
            group,
            size,
            accessed,
            modified,
        };
        let set = |live: &mut Live| live.set_attributes(node_of(number), &new);
        match self.shared.change(set) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(errno) => reply.error(error(errno)),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.shared.live().node(node_of(number)) {
            Node::Special(special) => match &special.kind {
                Kind::Symlink(target) => reply.data(target.as_os_str().as_bytes()),
                _ => reply.error(Refused::EINVAL),
            },
            Node::File(_) | Node::Dir(_) => reply.error(Refused::EINVAL),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let Some(kind) = kind_of(mode, device) else {
            return reply.error(Refused::EINVAL);
        };
        let new = New::at(parent, name, kind, Some(mode));
        answers::entry(self.make(request, new), reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let new = New::at(parent, name, Kind::Dir, Some(mode));
        answers::entry(self.make(request, new), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = New::at(parent, name, Kind::Symlink(target.to_owned()), None);
        answers::entry(self.make(request, new), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let new = New::at(parent, name, Kind::File, Some(mode));
        match self.make(request, new) {
            Ok(new) => reply.created(&FOREVER, &new, Generation(0), FileHandle(0), KEPT),
            Err(errno) => reply.error(error(errno)),
        }
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = node_of(number);
        let linked = self.shared.change(|live| {
            let to = live.place(node_of(parent), name)?;
            live.link(ino, to)?;
            Ok(attributes(live, ino))
        });
        answers::entry(linked, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.shared.change(|live| {
            let at = live.place(node_of(parent), name)?;
            live.remove(&at, false)
        });
        answers::empty(removed, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.shared.change(|live| {
            let at = live.place(node_of(parent), name)?;
            live.remove(&at, true)
        });
        answers::empty(removed, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.shared.change(|live| {
            let from = live.place(node_of(parent), name)?;
            let to = live.place(node_of(new_parent), new_name)?;
            let (old, new) = (name.display(), new_name.display());
            live.may_fail(Class::Rename, &|_| format!("rename({old} -> {new})"))?;
            match flags {
                RenameFlags::RENAME_EXCHANGE => live.exchange(&from, &to),
                RenameFlags::RENAME_NOREPLACE => live.rename(&from, to, true),
                flags if flags.is_empty() => live.rename(&from, to, false),
                _ => Err(Errno::EINVAL),
            }
        });
        answers::empty(renamed, reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), KEPT);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let ino = node_of(number);
        let mut live = self.shared.live();
        let told = |live: &Live| format!("read({}, {size} bytes at {offset})", live.shown(ino));
        let fails = live.may_fail(Class::Read, &told);
        match fails.and_then(|()| live.read(ino, offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(error(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        flags: WriteFlags,
        opened: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = Write::new(number, offset, flags, opened);
        if self.later().holding.takes(write) {
            return self.later().hold(write, bytes, reply);
        }
        answers::written(
            self.shared.change(|live| live.carry_out(write, bytes)),
            reply,
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.sync(number, data_only, reply);
    }

    fn fsyncdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.sync(number, data_only, reply);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(self.listings.open(), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let names = |live: &Live| live.names(node_of(number));
        let names = || names(&self.shared.live());
        self.listings.read(handle, offset, names, reply);
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.close(handle);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let free = BLOCKS / 2;
        let (nodes, block) = (BLOCKS, BLOCK_BYTES);
        reply.statfs(
            BLOCKS,
            free,
            free,
            nodes,
            nodes / 2,
            block,
            NAME_BYTES_MAX,
            block,
        );
    }

    fn setxattr(
        &self,
        _: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let set = |live: &mut Live| live.set_xattr(node_of(number), name, value, flags);
        answers::empty(self.shared.change(set), reply);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        answers::xattr(self.shared.live().xattr(node_of(number), name), size, reply);
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.shared.live().xattr_names(node_of(number));
        answers::xattr(Ok(names), size, reply);
    }

    fn removexattr(&self, _: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = |live: &mut Live| live.remove_xattr(node_of(number), name);
        answers::empty(self.shared.change(removed), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let allocate = |live: &mut Live| live.allocate(node_of(number), offset, len, mode);
        answers::empty(self.shared.change(allocate), reply);
    }
}
