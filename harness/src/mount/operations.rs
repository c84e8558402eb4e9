//! What one request does to the file system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{FileAttr, INodeNo, Request, TimeOrNow};
use nix::errno::Errno;
use nix::fcntl::FallocateFlags;

use super::convert::{SET_GROUP_ID, attributes, node_of, without_privileges};
use super::live::{Done, Live};
use crate::injection::Class;
use crate::sim::{Ino, Node, Setting};
use crate::tree::{Kind, Metadata};

/// The bits that chmod(2) sets.
const MODE_BITS: u32 = 0o7777;

/// A node that is to be made.
pub(super) struct New<'a> {
    parent: INodeNo,
    name: &'a OsStr,
    kind: Kind,
    /// A symbolic link has none of its own.
    mode: Option<u32>,
}

/// What SETATTR sets.
pub(super) struct Attributes {
    pub(super) mode: Option<u32>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) accessed: Option<TimeOrNow>,
    pub(super) modified: Option<TimeOrNow>,
}

impl<'a> New<'a> {
    pub(super) fn at(parent: INodeNo, name: &'a OsStr, kind: Kind, mode: Option<u32>) -> Self {
        Self {
            parent,
            name,
            kind,
            mode,
        }
    }
}

/// Whether another file system takes an attribute of this name. Labels of the system's own policy do not
/// belong to a store.
fn can_be_laid_out(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let spaces: [&[u8]; 2] = [b"user.", b"trusted."];
    spaces.iter().any(|space| name.starts_with(space)) || name == b"security.capability"
}

impl Live {
    pub(super) fn make(&mut self, new: New<'_>, by: &Request) -> Done<FileAttr> {
        let parent = self.node(node_of(new.parent)).metadata().live();
        let parent = parent.cloned().unwrap_or_default();
        let inherits = parent.mode.unwrap_or(0) & SET_GROUP_ID != 0;
        let is_dir = matches!(new.kind, Kind::Dir);
        let inherited = if inherits && is_dir { SET_GROUP_ID } else { 0 };
        let metadata = Metadata {
            mode: new.mode.map(|mode| mode & MODE_BITS | inherited),
            owner: Some(by.uid()),
            group: Some(match parent.group {
                Some(group) if inherits => group,
                _ => by.gid(),
            }),
            ..Metadata::default()
        };
        let place = self.place(node_of(new.parent), new.name)?;
        if matches!(new.kind, Kind::Dir | Kind::File) {
            let name = new.name.display();
            self.may_fail(Class::Create, &|_| format!("create({name})"))?;
        }
        let ino = self.create(place, new.kind, metadata)?;
        Ok(attributes(self, ino))
    }

    pub(super) fn set_attributes(&mut self, ino: Ino, new: &Attributes) -> Done<FileAttr> {
        if let Some(size) = new.size {
            self.resize_or_fail(ino, size)?;
        }
        if new.owner.is_some() || new.group.is_some() {
            self.set(ino, Setting::Owner(new.owner, new.group))?;
            if new.mode.is_none() && !matches!(self.node(ino), Node::Dir(_)) {
                self.drop_privileges(ino)?;
            }
        }
        if let Some(mode) = new.mode {
            self.set(ino, Setting::Mode(mode & MODE_BITS))?;
        }
        if new.accessed.is_some() || new.modified.is_some() {
            self.set_times(ino, new.accessed, new.modified)?;
        }
        Ok(attributes(self, ino))
    }

    /// Takes the bits away that a program loses when its file is written or given away.
    pub(super) fn drop_privileges(&mut self, ino: Ino) -> Done<()> {
        let mode = attributes(self, ino).perm;
        match without_privileges(mode.into()) {
            Some(mode) => self.set(ino, Setting::Mode(mode)),
            None => Ok(()),
        }
    }

    pub(super) fn xattr(&self, ino: Ino, name: &OsStr) -> Done<Vec<u8>> {
        let metadata = self.node(ino).metadata().live();
        let value = metadata.and_then(|metadata| metadata.xattrs.get(name));
        value.cloned().ok_or(Errno::ENODATA)
    }

    /// Each name with a zero behind it.
    pub(super) fn xattr_names(&self, ino: Ino) -> Vec<u8> {
        let metadata = self.node(ino).metadata().live();
        let names = metadata.iter().flat_map(|metadata| metadata.xattrs.keys());
        names
            .flat_map(|name| [name.as_bytes(), b"\0"].concat())
            .collect()
    }

    pub(super) fn set_xattr(
        &mut self,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Done<()> {
        if !can_be_laid_out(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_there = self.xattr(ino, name).is_ok();
        if is_there && flags & libc::XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !is_there && flags & libc::XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        self.set(ino, Setting::Xattr(name.to_owned(), value.to_vec()))
    }

    pub(super) fn remove_xattr(&mut self, ino: Ino, name: &OsStr) -> Done<()> {
        self.xattr(ino, name)?;
        self.set(ino, Setting::NoXattr(name.to_owned()))
    }

    pub(super) fn allocate(&mut self, ino: Ino, offset: u64, len: u64, mode: i32) -> Done<()> {
        let mode = FallocateFlags::from_bits_retain(mode);
        let zeros = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        let keeps = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if !(zeros | keeps).contains(mode) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.saturating_add(len);
        if !mode.contains(FallocateFlags::FALLOC_FL_PUNCH_HOLE) {
            let told =
                |live: &Self| format!("fallocate({}, {len} bytes at {offset})", live.shown(ino));
            self.may_fail(Class::Grow, &told)?;
        }
        if mode.intersects(zeros) {
            self.punch(ino, offset..end)?;
        }
        // Room that a file has behind its end cannot be seen.
        if !mode.contains(keeps) && end > attributes(self, ino).size {
            self.set_len(ino, end)?;
        }
        Ok(())
    }
}
