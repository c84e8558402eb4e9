//! What a simulated file system tells of a node.

use std::path::PathBuf;
use std::time::SystemTime;

use super::disk::Disk;
use super::nodes::{Ino, Node};
use crate::tree::{Kind, Metadata};

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, and where it points.
    Symlink(PathBuf),
    /// A FIFO. It cannot be opened here.
    Fifo,
    /// A socket. It cannot be opened here.
    Socket,
    /// A character device, with its major and minor number as stat(2) has them. It cannot be opened here.
    CharacterDevice(u64),
    /// A block device, as above.
    BlockDevice(u64),
}

/// What stat(2) tells, as far as a simulated file system has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: NodeKind,
    /// Its number, which it keeps under every name.
    pub inode: u64,
    /// A file's length in bytes, or a symbolic link's; otherwise 0.
    pub len: u64,
    /// How many names it has; 1 for a directory.
    pub links: u64,
    /// Permissions and the three bits above them; 644 for a file and 755 for a directory on which nothing
    /// was set. Nothing checks them: every program here is root.
    pub mode: u32,
    /// 0 if none was set.
    pub owner: u32,
    /// 0 if none was set.
    pub group: u32,
    /// What was set. There is no clock: a write does not move it.
    pub modified: Option<SystemTime>,
}

impl From<NodeKind> for Kind {
    fn from(kind: NodeKind) -> Self {
        match kind {
            NodeKind::File => Self::File,
            NodeKind::Dir => Self::Dir,
            NodeKind::Symlink(target) => Self::Symlink(target),
            NodeKind::Fifo => Self::Fifo,
            NodeKind::Socket => Self::Socket,
            NodeKind::CharacterDevice(number) => Self::Device {
                character: true,
                number,
            },
            NodeKind::BlockDevice(number) => Self::Device {
                character: false,
                number,
            },
        }
    }
}

impl From<Kind> for NodeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::File,
            Kind::Dir => Self::Dir,
            Kind::Symlink(target) => Self::Symlink(target),
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
            Kind::Device {
                character: true,
                number,
            } => Self::CharacterDevice(number),
            Kind::Device { number, .. } => Self::BlockDevice(number),
        }
    }
}

impl Disk {
    pub(super) fn stat(&self, ino: Ino) -> Stat {
        let node = self.node(ino);
        let (kind, len, mode) = match node {
            Node::File(file) => (NodeKind::File, file.live.len(), 0o644),
            Node::Dir(_) => (NodeKind::Dir, 0, 0o755),
            Node::Special(special) => match &special.kind {
                Kind::Symlink(target) => {
                    let len = target.as_os_str().len() as u64;
                    (NodeKind::Symlink(target.clone()), len, 0o777)
                }
                kind => (kind.clone().into(), 0, 0o644),
            },
        };
        let links = match node {
            Node::Dir(_) => 1,
            Node::File(_) | Node::Special(_) => self.names_of(ino) as u64,
        };
        let unset = Metadata::default();
        let metadata = node.metadata().live().unwrap_or(&unset);
        Stat {
            kind,
            inode: ino as u64,
            len,
            links,
            mode: metadata.mode.unwrap_or(mode),
            owner: metadata.owner.unwrap_or(0),
            group: metadata.group.unwrap_or(0),
            modified: metadata.modified,
        }
    }

    /// How many names a node has.
    fn names_of(&self, ino: Ino) -> usize {
        let nodes = self.nodes.iter().flatten();
        let named = nodes.map(|node| match &**node {
            Node::Dir(dir) => dir.live.values().filter(|named| **named == ino).count(),
            Node::File(_) | Node::Special(_) => 0,
        });
        named.sum()
    }
}
