//! Syncs: what each makes durable, by the rules of the profile.

use std::collections::HashSet;

use super::change::{MetadataChange, NameChange};
use super::disk::Disk;
use super::nodes::{Ino, Node, Place};

/// What a sync of a file commits besides the file's bytes and size.
struct Commit {
    /// Every change before this operation.
    journalled: u64,
    /// The names of these nodes.
    names_of: Vec<Ino>,
    /// The metadata of this node.
    metadata_of: Option<Ino>,
}

impl Commit {
    fn has_name(&self, change: &NameChange) -> bool {
        change.op < self.journalled || self.names_of.contains(&change.node)
    }

    fn has_metadata(&self, change: &MetadataChange) -> bool {
        change.op < self.journalled || self.metadata_of == Some(change.node)
    }
}

impl Disk {
    /// fsync, or with `data_only` fdatasync, of a file.
    pub(crate) fn sync_file(&mut self, ino: Ino, data_only: bool) {
        self.tick();
        let commit = self.commit_of(ino, data_only);
        let file = self.file_mut(ino);
        if file.diverged {
            file.write_back();
        } else {
            file.durable = file.live.clone();
            file.writes.clear();
            file.sizes.clear();
        }
        self.make_names_durable(|change| commit.has_name(change));
        self.make_metadata_durable(|change| commit.has_metadata(change));
    }

    /// Which changes of names and metadata a sync of this file makes durable.
    fn commit_of(&self, ino: Ino, data_only: bool) -> Commit {
        // One journal: everything up to the file's own last change. A new size is logged by the sync.
        let grew = self.file(ino).is_ok_and(|file| !file.sizes.is_empty());
        let own = self.names.iter().filter(|change| change.node == ino);
        // Names and metadata are no matter of data: only a new file's first commit is.
        let own = own.filter(|change| !data_only || change.creates);
        let own = own.map(|change| change.op);
        let own_metadata = self.metadata.iter();
        let own_metadata = own_metadata.filter(|change| change.node == ino && !data_only);
        let own = own.chain(own_metadata.map(|change| change.op));
        let own_end = own.map(|op| op + 1).max().unwrap_or(0);
        let journalled = match self.profile.has_one_journal() {
            true if grew => u64::MAX,
            true => own_end,
            false => 0,
        };
        Commit {
            journalled,
            names_of: if self.profile.sync_keeps_names() {
                self.with_ancestors(ino)
            } else {
                Vec::new()
            },
            metadata_of: (!data_only).then_some(ino),
        }
    }

    /// A node and the directories that it was pending to be reached through.
    fn with_ancestors(&self, ino: Ino) -> Vec<Ino> {
        let mut found = vec![ino];
        let mut next = 0;
        while let Some(node) = found.get(next).copied() {
            let dirs = self
                .names
                .iter()
                .filter(|change| change.node == node)
                .filter_map(|change| Some(change.added.as_ref()?.dir));
            for dir in dirs {
                if !found.contains(&dir) {
                    found.push(dir);
                }
            }
            next += 1;
        }
        found
    }

    /// fsync of a directory: the names in it.
    pub(crate) fn sync_dir(&mut self, ino: Ino) {
        self.tick();
        let is_in = |place: &Option<Place>| place.as_ref().is_some_and(|place| place.dir == ino);
        if self.profile.has_one_journal() {
            // Everything up to the directory's own last change.
            let own = |change: &&NameChange| {
                change.node == ino || is_in(&change.added) || is_in(&change.removed)
            };
            let last = self.names.iter().rfind(own).map(|change| change.op);
            let own_metadata = self.metadata.iter().rfind(|change| change.node == ino);
            let last = last.max(own_metadata.map(|change| change.op));
            let is_due = |op: u64| last.is_some_and(|last| op <= last);
            self.make_names_durable(|change| is_due(change.op));
            self.make_metadata_durable(|change| is_due(change.op));
            return;
        }
        self.make_metadata_durable(|change| change.node == ino);
        // Of a file renamed into this directory, only its new name; but it is never lost. A directory
        // has one name at a time, so it brings all that happened to it.
        let mut whole = HashSet::new();
        for change in std::mem::take(&mut self.names) {
            let arrives = is_in(&change.added)
                && change.removed.is_some()
                && !is_in(&change.removed)
                && !change.exchanges;
            let is_dir = matches!(self.nodes[change.node].as_deref(), Some(Node::Dir(_)));
            if arrives && !is_dir {
                self.names.push(NameChange {
                    added: None,
                    ..change.clone()
                });
                self.names.push(NameChange {
                    removed: None,
                    ..change
                });
            } else {
                whole.extend(arrives.then_some(change.node));
                self.names.push(change);
            }
        }
        // Btrfs finds what was renamed out of it, in new directories too.
        let left = |change: &&NameChange| is_in(&change.removed) && change.added.is_some();
        let left = self.names.iter().filter(left);
        let left = left.filter(|_| self.profile.sync_keeps_names());
        whole.extend(left.flat_map(|change| self.with_ancestors(change.node)));
        self.make_names_durable(|change| {
            is_in(&change.added) || is_in(&change.removed) || whole.contains(&change.node)
        });
    }

    /// Moves changes of names over to the durable side. What was changed before under the same names
    /// is history.
    fn make_names_durable(&mut self, is_due: impl Fn(&NameChange) -> bool) {
        let mut due: Vec<bool> = self.names.iter().map(is_due).collect();
        // What they need comes along, and what that needs in turn.
        let mut open: Vec<usize> = (0..due.len()).filter(|index| due[*index]).collect();
        let others = self.names.iter().enumerate();
        let others: Vec<_> = others.filter(|(_, other)| other.can_be_needed()).collect();
        while let Some(index) = open.pop() {
            let change = &self.names[index];
            for (other, earlier) in others.iter().copied() {
                let is_needed = other < index && self.needs(change, earlier);
                if !due[other] && (is_needed || change.goes_with(earlier)) {
                    due[other] = true;
                    open.push(other);
                }
            }
        }
        let mut kept: Vec<NameChange> = Vec::new();
        for (change, due) in std::mem::take(&mut self.names).into_iter().zip(due) {
            if !due {
                kept.push(change);
                continue;
            }
            for place in change.added.iter().chain(&change.removed) {
                for earlier in &mut kept {
                    earlier.added.take_if(|added| added == place);
                    earlier.removed.take_if(|removed| removed == place);
                }
            }
            change.apply(|dir, edit| edit(&mut self.dir_mut(dir).durable));
        }
        kept.retain(|change| change.added.is_some() || change.removed.is_some());
        self.names = kept;
    }
}
