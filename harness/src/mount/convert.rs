//! Between the terms of FUSE and those of the simulated file system.

use std::time::Duration;

use fuser::{FileAttr, FileType, INodeNo};
use nix::sys::stat::SFlag;
use nix::unistd::{getegid, geteuid};

use super::live::Live;
use crate::sim::{Ino, Node};
use crate::tree::{Kind, Metadata};

/// The kernel may believe what it knows for so long: only the kernel itself changes it.
pub(super) const FOREVER: Duration = Duration::from_secs(1 << 30);
pub(super) const BLOCK_BYTES: u32 = 4096;
/// The unit in which stat(2) counts space.
const STAT_BLOCK_BYTES: u64 = 512;

const SET_USER_ID: u32 = 0o4000;
pub(super) const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;
const MODE_BITS: u32 = 0o7777;

/// The kernel's number of a node: its numbers begin with 1.
pub(super) fn number(ino: Ino) -> INodeNo {
    INodeNo(ino as u64 + 1)
}

/// The node with a number. The kernel has it from us.
pub(super) fn node_of(number: INodeNo) -> Ino {
    usize::try_from(number.0 - 1).expect("it was made of one")
}

/// What a file system in use tells of a node. What has no owner is of the user who mounts, as it will be where
/// it is laid out.
pub(super) fn attributes(live: &Live, ino: Ino) -> FileAttr {
    let node = live.node(ino);
    let (kind, size, mode) = match node {
        Node::File(file) => (FileType::RegularFile, file.live.len(), 0o644),
        Node::Dir(_) => (FileType::Directory, 0, 0o755),
        Node::Special(special) => match &special.kind {
            Kind::Symlink(target) => (FileType::Symlink, target.as_os_str().len() as u64, 0o777),
            kind => (file_type(kind), 0, 0o644),
        },
    };
    let device = match node {
        Node::Special(special) => match special.kind {
            Kind::Device { number, .. } => number,
            _ => 0,
        },
        _ => 0,
    };
    let unset = Metadata::default();
    let metadata = node.metadata().live().unwrap_or(&unset);
    let times = live.times(ino);
    FileAttr {
        ino: number(ino),
        size,
        blocks: size.div_ceil(STAT_BLOCK_BYTES),
        atime: times.accessed,
        mtime: times.modified,
        ctime: times.changed,
        crtime: times.changed,
        kind,
        perm: u16::try_from(metadata.mode.unwrap_or(mode) & MODE_BITS).expect("masked"),
        nlink: u32::try_from(live.links(ino)).unwrap_or(u32::MAX),
        uid: metadata.owner.unwrap_or_else(|| geteuid().as_raw()),
        gid: metadata.group.unwrap_or_else(|| getegid().as_raw()),
        rdev: u32::try_from(device).unwrap_or(0),
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

pub(super) fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::Dir => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::Device {
            character: true, ..
        } => FileType::CharDevice,
        Kind::Device { .. } => FileType::BlockDevice,
    }
}

/// The kind of a node.
pub(super) fn type_of(node: &Node) -> FileType {
    match node {
        Node::File(_) => FileType::RegularFile,
        Node::Dir(_) => FileType::Directory,
        Node::Special(special) => file_type(&special.kind),
    }
}

/// What mknod(2) makes. `None`: nothing that this file system has.
pub(super) fn kind_of(mode: u32, device: u32) -> Option<Kind> {
    let device = |character| Kind::Device {
        character,
        number: device.into(),
    };
    Some(match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFIFO => Kind::Fifo,
        SFlag::S_IFSOCK => Kind::Socket,
        SFlag::S_IFCHR => device(true),
        SFlag::S_IFBLK => device(false),
        _ => return None,
    })
}

/// A mode without the bits that a program loses when another user may have changed it. `None`: it has
/// none of them.
pub(super) fn without_privileges(mode: u32) -> Option<u32> {
    let mut left = mode & !SET_USER_ID;
    if mode & GROUP_EXECUTES != 0 {
        left &= !SET_GROUP_ID;
    }
    (left != mode).then_some(left)
}
