//! Names: making, moving and removing them.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use nix::errno::Errno;

use super::change::NameChange;
use super::disk::Disk;
use super::nodes::{DirNode, FileNode, Ino, Names, Node, Place, Sides, SpecialNode};
use crate::tree::{Kind, Metadata};

impl Disk {
    fn change_name(&mut self, node: Ino, removed: Option<Place>, added: Option<Place>) {
        let op = self.tick();
        let change = NameChange {
            op,
            node,
            removed,
            added,
            creates: false,
            exchanges: false,
        };
        change.apply(|dir, edit| edit(&mut self.dir_mut(dir).live));
        self.names.push(change);
    }

    /// A new node; a file or a directory is empty. Its first metadata is as durable as the node is.
    pub(crate) fn create(
        &mut self,
        place: Place,
        kind: Kind,
        metadata: Metadata,
    ) -> io::Result<Ino> {
        if self.find(&place)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        let ino = self.nodes.len();
        let metadata = Sides::of(metadata);
        let node = match kind {
            Kind::Dir => Node::Dir(DirNode {
                metadata,
                ..DirNode::default()
            }),
            Kind::File => Node::File(FileNode {
                metadata,
                ..FileNode::default()
            }),
            kind => Node::Special(SpecialNode { kind, metadata }),
        };
        self.nodes.push(Some(Arc::new(node)));
        self.change_name(ino, None, Some(place));
        self.names.last_mut().expect("just changed").creates = true;
        Ok(ino)
    }

    /// A second name for a file.
    pub(crate) fn link(&mut self, from: &Place, to: Place) -> io::Result<()> {
        let node = self.find(from)?.ok_or(Errno::ENOENT)?;
        if self.find(&to)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if matches!(self.node(node), Node::Dir(_)) {
            return Err(Errno::EPERM.into());
        }
        self.change_name(node, None, Some(to));
        Ok(())
    }

    /// Renames over whatever has the name, as rename(2) does.
    pub(crate) fn rename(&mut self, from: Place, to: Place) -> io::Result<()> {
        let node = self.find(&from)?.ok_or(Errno::ENOENT)?;
        let is_dir = matches!(self.node(node), Node::Dir(_));
        if is_dir && self.is_below(to.dir, node) {
            return Err(Errno::EINVAL.into());
        }
        if let Some(target) = self.find(&to)? {
            if target == node {
                return Ok(());
            }
            if self.is_below(from.dir, target) {
                return Err(Errno::ENOTEMPTY.into());
            }
            match self.node(target) {
                Node::Dir(_) if !is_dir => return Err(Errno::EISDIR.into()),
                Node::Dir(dir) if !dir.live.is_empty() => {
                    return Err(Errno::ENOTEMPTY.into());
                }
                Node::File(_) | Node::Special(_) if is_dir => return Err(Errno::ENOTDIR.into()),
                _ => {}
            }
        }
        self.change_name(node, Some(from), Some(to));
        Ok(())
    }

    /// Gives a node of another disk, whose own name is in the root there, a name here. What is pending of
    /// names and metadata there is dropped.
    pub(super) fn take_in(&mut self, from: Self, node: Ino, place: Place) {
        // The root stays where it is.
        let shift = self.nodes.len() - 1;
        let moved = |names: Names| -> Names {
            let names = names.into_iter();
            names.map(|(name, ino)| (name, ino + shift)).collect()
        };
        for node in from.nodes.into_iter().skip(1) {
            let node = node.map(|node| match Arc::unwrap_or_clone(node) {
                Node::Dir(dir) => Node::Dir(DirNode {
                    live: moved(dir.live),
                    durable: moved(dir.durable),
                    ..dir
                }),
                node => node,
            });
            self.nodes.push(node.map(Arc::new));
        }
        self.clock = from.clock;
        self.change_name(node + shift, None, Some(place));
    }

    /// Two names change places, as renameat2(2) with `RENAME_EXCHANGE` does it: as a whole or not at all.
    pub(crate) fn exchange(&mut self, one: &Place, two: &Place) -> io::Result<()> {
        let first = self.find(one)?.ok_or(Errno::ENOENT)?;
        let second = self.find(two)?.ok_or(Errno::ENOENT)?;
        if self.is_below(two.dir, first) || self.is_below(one.dir, second) {
            return Err(Errno::EINVAL.into());
        }
        if first == second {
            return Ok(());
        }
        let op = self.tick();
        for (node, removed, added) in [(first, one, two), (second, two, one)] {
            let change = NameChange {
                op,
                node,
                removed: Some(removed.clone()),
                added: Some(added.clone()),
                creates: false,
                exchanges: true,
            };
            change.apply(|dir, edit| edit(&mut self.dir_mut(dir).live));
            self.names.push(change);
        }
        Ok(())
    }

    /// Whether something would be lost, or have two places, if one change were there without an earlier one.
    pub(super) fn needs(&self, change: &NameChange, earlier: &NameChange) -> bool {
        let is_dir = |node: Ino| matches!(self.nodes[node].as_deref(), Some(Node::Dir(_)));
        // A directory has one name. It is not moved to where it would lie in itself.
        let place = change.added.as_ref();
        let is_place = place.is_some_and(|place| place.dir == earlier.node);
        let is_led_here = change.node == earlier.node || is_place;
        let of_directories = is_led_here && place.is_some() && earlier.is_rename();
        change.needs(earlier) || of_directories && is_dir(change.node) && is_dir(earlier.node)
    }

    /// Whether a directory is `ancestor` or lies in it.
    fn is_below(&self, dir: Ino, ancestor: Ino) -> bool {
        if dir == ancestor {
            return true;
        }
        let Node::Dir(node) = self.node(ancestor) else {
            return false;
        };
        node.live.values().any(|child| self.is_below(dir, *child))
    }

    /// Removes a file's name, or an empty directory.
    pub(crate) fn remove(&mut self, place: Place, is_dir: bool) -> io::Result<()> {
        let node = self.find(&place)?.ok_or(Errno::ENOENT)?;
        match self.node(node) {
            Node::Dir(_) if !is_dir => return Err(Errno::EISDIR.into()),
            Node::File(_) | Node::Special(_) if is_dir => return Err(Errno::ENOTDIR.into()),
            Node::Dir(dir) if !dir.live.is_empty() => {
                return Err(Errno::ENOTEMPTY.into());
            }
            _ => {}
        }
        self.change_name(node, Some(place), None);
        Ok(())
    }
}
