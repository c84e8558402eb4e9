//! Everything a file system holds at one moment.
//!
//! Nothing becomes durable by close, by rename or by time: only a sync moves changes over. Cheap to
//! clone: pages, files and directories are shared until they change.

use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use nix::errno::Errno;
use twox_hash::XxHash3_64;

use super::change::{MetadataChange, NameChange, Setting};
use super::nodes::{DirNode, FileNode, Ino, Node, Place, ROOT};
use super::profile::Profile;
use crate::tree::Metadata;

/// A file system at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) profile: Profile,
    /// `None`: a file that nobody can reach any more.
    pub(crate) nodes: Vec<Option<Arc<Node>>>,
    /// Changes of names that are not durable, oldest first.
    pub(crate) names: Vec<NameChange>,
    /// Changes of metadata that are not durable, oldest first.
    pub(crate) metadata: Vec<MetadataChange>,
    /// Index of the next operation. It counts on from crash to crash.
    pub(crate) clock: u64,
}

impl Disk {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            nodes: vec![Some(Arc::new(Node::Dir(DirNode::default())))],
            names: Vec::new(),
            metadata: Vec::new(),
            clock: 0,
        }
    }

    /// The root directory belongs to this user, durably.
    pub(crate) fn give_root_to(&mut self, user: u32, group: u32) {
        let owner = Setting::Owner(Some(user), Some(group));
        let sides = self.node_mut(ROOT).metadata_mut();
        owner.apply(sides.live_mut());
        owner.apply(sides.durable_mut());
    }

    pub(crate) fn node(&self, ino: Ino) -> &Node {
        self.nodes[ino]
            .as_deref()
            .expect("whoever can name it can reach it")
    }

    pub(super) fn node_mut(&mut self, ino: Ino) -> &mut Node {
        Arc::make_mut(
            self.nodes[ino]
                .as_mut()
                .expect("whoever can name it can reach it"),
        )
    }

    pub(crate) fn dir(&self, ino: Ino) -> io::Result<&DirNode> {
        match self.node(ino) {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) | Node::Special(_) => Err(Errno::ENOTDIR.into()),
        }
    }

    pub(crate) fn file(&self, ino: Ino) -> io::Result<&FileNode> {
        match self.node(ino) {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(Errno::EISDIR.into()),
            // There is no other end, and no driver.
            Node::Special(_) => Err(Errno::ENXIO.into()),
        }
    }

    pub(super) fn dir_mut(&mut self, ino: Ino) -> &mut DirNode {
        match self.node_mut(ino) {
            Node::Dir(dir) => dir,
            Node::File(_) | Node::Special(_) => unreachable!("a directory was looked up"),
        }
    }

    pub(super) fn file_mut(&mut self, ino: Ino) -> &mut FileNode {
        match self.node_mut(ino) {
            Node::File(file) => file,
            Node::Dir(_) | Node::Special(_) => unreachable!("a file was looked up"),
        }
    }

    /// What stands under a name.
    pub(crate) fn find(&self, place: &Place) -> io::Result<Option<Ino>> {
        Ok(self.dir(place.dir)?.live.get(&place.name).copied())
    }

    /// Takes the next index for an operation that changes something.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock - 1
    }

    /// Every file and directory that can be reached, with its path, parents first.
    pub(crate) fn tree(&self, durable: bool) -> Vec<(String, Ino)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            if let Node::Dir(dir) = self.node(ino) {
                let names = if durable { &dir.durable } else { &dir.live };
                let children = names.iter().rev();
                open.extend(children.map(|(name, child)| (format!("{path}/{name}"), *child)));
            }
            if ino != ROOT {
                found.push((path, ino));
            }
        }
        found
    }

    /// The path of a node, the first that is found.
    pub(crate) fn path_of(&self, ino: Ino) -> Option<String> {
        if ino == ROOT {
            return Some("/".to_owned());
        }
        let mut tree = self.tree(false).into_iter();
        tree.find(|(_, node)| *node == ino).map(|(path, _)| path)
    }

    /// Tells disks apart by what programs see; those that differ in garbage alone are the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint_of(ROOT)
    }

    /// The same of a node and what is below it.
    pub(super) fn fingerprint_of(&self, ino: Ino) -> u64 {
        let mut hasher = XxHash3_64::new();
        self.fingerprint_node(ino, &mut hasher);
        hasher.finish()
    }

    fn fingerprint_node(&self, ino: Ino, hasher: &mut XxHash3_64) {
        let node = self.node(ino);
        let metadata = node.metadata().live();
        if let Some(metadata) = metadata.filter(|metadata| **metadata != Metadata::default()) {
            hasher.write_u8(2);
            metadata.hash(hasher);
        }
        match node {
            Node::File(file) => file.live.fingerprint(hasher),
            Node::Dir(dir) => {
                for (name, child) in &dir.live {
                    hasher.write(name.as_bytes());
                    hasher.write_u8(0);
                    self.fingerprint_node(*child, hasher);
                }
                hasher.write_u8(1);
            }
            Node::Special(special) => {
                hasher.write_u8(3);
                special.kind.hash(hasher);
            }
        }
    }
}
