//! Whether a power cut of one disk can leave what a power cut of another one has left.
//!
//! The same was done to both disks, so their nodes have the same numbers; one of them has more that is
//! durable. States are compared as programs see them: two files with equal bytes are one as good as the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::change::{MetadataChange, NameChange};
use super::choice::{Chooser, Odometer, Question};
use super::content::{Content, SECTOR_BYTES};
use super::disk::Disk;
use super::nodes::{FileNode, Ino, Node, Place, ROOT};
use super::profile::Profile;
use crate::tree::Metadata;

/// The number of selections of names that are tried where each name is kept or lost by itself.
const SELECTIONS_MAX: usize = 1024;
/// The number of changes of one node's metadata of which every selection is tried.
const SETTINGS_MAX: usize = 10;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Possible {
    Yes,
    No,
    /// There were too many selections to try them all.
    Unknown,
}

impl Disk {
    /// Whether a power cut at this moment can leave what is on `left`. `lost` are the changes of names and
    /// metadata that were lost there: they are lost in the first try.
    pub(crate) fn can_leave(&self, left: &Self, lost: &BTreeSet<u64>) -> Possible {
        if self.profile == Profile::Everything {
            let mut settled = self.clone();
            settled.settle();
            return Possible::of(settled.fingerprint() == left.fingerprint());
        }
        let search = Search {
            disk: self,
            left,
            known: RefCell::default(),
        };
        if !search.has_each_name() {
            return Possible::No;
        }
        let as_there = |op: u64| lost.contains(&op);
        if search.fits(&mut Losing(&as_there)) {
            return Possible::Yes;
        }
        if self.profile == Profile::SyncedOnly {
            return Possible::No;
        }
        if self.profile.names_in_order() {
            let ops = self.names.iter().map(|change| change.op);
            let ops = ops.chain(self.metadata.iter().map(|change| change.op));
            let cuts: BTreeSet<u64> = ops.chain([u64::MAX]).collect();
            let fits = |cut: &u64| search.fits(&mut Losing(&|op| op >= *cut));
            return Possible::of(cuts.iter().any(fits));
        }
        let mut odometer = Odometer::default();
        for _ in 0..SELECTIONS_MAX {
            if search.fits(&mut odometer) {
                return Possible::Yes;
            }
            if !odometer.advance() {
                return Possible::No;
            }
        }
        Possible::Unknown
    }

    /// The changes that are not durable, by their operations.
    pub(crate) fn pending_ops(&self) -> BTreeSet<u64> {
        let writes = |node: &Node| match node {
            Node::File(file) => file.writes.iter().map(|write| write.op).collect(),
            Node::Dir(_) | Node::Special(_) => Vec::new(),
        };
        let names = self.names.iter().map(|change| change.op);
        let metadata = self.metadata.iter().map(|change| change.op);
        let nodes = self.nodes.iter().flatten();
        let bytes = nodes.flat_map(|node| writes(node));
        names.chain(metadata).chain(bytes).collect()
    }

    /// Whether the same is durable on another disk to which the same was done.
    pub(crate) fn has_the_same_durable(&self, other: &Self) -> bool {
        let sizes = |disk: &Self| -> Vec<(usize, u64)> {
            let nodes = disk.nodes.iter().enumerate();
            let sizes = nodes.filter_map(|(ino, node)| match node.as_deref()? {
                Node::File(file) => Some((ino, file.sizes.len() as u64, file.durable.len())),
                Node::Dir(_) | Node::Special(_) => None,
            });
            sizes
                .flat_map(|(ino, pending, durable)| [(ino, pending), (ino, durable)])
                .collect()
        };
        // Of a rename to another directory, one half may be durable.
        let halves = |change: &NameChange| {
            let NameChange {
                op, added, removed, ..
            } = change;
            (*op, added.is_some(), removed.is_some())
        };
        let names = |disk: &Self| -> Vec<_> { disk.names.iter().map(halves).collect() };
        names(self) == names(other)
            && self.pending_ops() == other.pending_ops()
            && sizes(self) == sizes(other)
    }
}

impl Possible {
    fn of(is_possible: bool) -> Self {
        if is_possible { Self::Yes } else { Self::No }
    }
}

/// Loses these changes of names and metadata.
struct Losing<'l>(&'l dyn Fn(u64) -> bool);

impl Chooser for Losing<'_> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let is_lost = match question {
            Question::Name { op, .. } | Question::Metadata { op, .. } => self.0(*op),
            Question::Size { .. } | Question::Bytes { .. } => false,
        };
        u32::from(is_lost).min(answers - 1)
    }
}

/// Two disks that are compared.
struct Search<'d> {
    disk: &'d Disk,
    left: &'d Disk,
    /// Whether the bytes of a file can be those of one there: names have no part in it.
    known: RefCell<HashMap<(Ino, Ino), bool>>,
}

impl Search<'_> {
    /// Whether each name by itself can stand for what it stands for there, or for nothing. If one cannot,
    /// no selection can be right.
    fn has_each_name(&self) -> bool {
        let mut open = vec![ROOT];
        while let Some(ino) = open.pop() {
            let (Ok(ours), Ok(wanted)) = (self.disk.dir(ino), self.left.dir(ino)) else {
                return false;
            };
            let names: BTreeSet<_> = wanted.live.keys().chain(ours.durable.keys()).collect();
            for name in names {
                let is_it = |place: &Option<Place>| {
                    let mut place = place.iter();
                    place.any(|place| place.dir == ino && place.name == *name)
                };
                let Some(theirs) = wanted.live.get(name).copied() else {
                    if self.disk.names.iter().any(|change| is_it(&change.removed)) {
                        continue;
                    }
                    return false;
                };
                let added = self.disk.names.iter().filter(|change| is_it(&change.added));
                let added = added.map(|change| change.node);
                let candidates: Vec<Ino> = ours
                    .durable
                    .get(name)
                    .copied()
                    .into_iter()
                    .chain(added)
                    .collect();
                if !candidates.iter().any(|node| self.can_be(*node, theirs)) {
                    return false;
                }
                // Another directory under the same name may be what is there.
                let is_same_dir = candidates.iter().all(|node| *node == theirs);
                if is_same_dir && matches!(self.left.node(theirs), Node::Dir(_)) {
                    open.push(theirs);
                }
            }
        }
        true
    }

    /// Whether the changes that the chooser keeps make what is there.
    fn fits(&self, chooser: &mut dyn Chooser) -> bool {
        let (names, settings) = self.disk.surviving_changes(chooser);
        let dirs = self.disk.names_with(&names);
        let mut met: BTreeMap<Ino, Ino> = BTreeMap::new();
        let mut open = vec![(ROOT, ROOT)];
        while let Some((ours, theirs)) = open.pop() {
            match met.insert(ours, theirs) {
                // A file with several names has the same bytes under all of them.
                Some(known) if known == theirs || self.are_alike(known, theirs) => continue,
                Some(_) => return false,
                None => {}
            }
            if !self.can_be(ours, theirs) || !self.can_have_metadata(ours, theirs, &settings) {
                return false;
            }
            let Node::Dir(wanted) = self.left.node(theirs) else {
                continue;
            };
            let Some(names) = dirs.get(&ours) else {
                return false;
            };
            if !names.keys().eq(wanted.live.keys()) {
                return false;
            }
            open.extend(names.values().copied().zip(wanted.live.values().copied()));
        }
        true
    }

    fn are_alike(&self, one: Ino, other: Ino) -> bool {
        self.left.fingerprint_of(one) == self.left.fingerprint_of(other)
    }

    /// Whether a node can be one there, its names and metadata left aside.
    fn can_be(&self, ours: Ino, theirs: Ino) -> bool {
        let Some(node) = self.disk.nodes[ours].as_deref() else {
            return false;
        };
        match (node, self.left.node(theirs)) {
            (Node::Dir(_), Node::Dir(_)) => true,
            (Node::Special(ours), Node::Special(theirs)) => ours.kind == theirs.kind,
            (Node::File(file), Node::File(wanted)) => {
                if let Some(known) = self.known.borrow().get(&(ours, theirs)) {
                    return *known;
                }
                let mut chooser = Wanting {
                    file,
                    wanted: &wanted.live,
                };
                let made = self.disk.surviving_bytes(file, "", &mut chooser);
                let can_be = made.is_like(&wanted.live);
                self.known.borrow_mut().insert((ours, theirs), can_be);
                can_be
            }
            _ => false,
        }
    }

    fn can_have_metadata(&self, ours: Ino, theirs: Ino, in_order: &[&MetadataChange]) -> bool {
        let live = self.left.node(theirs).metadata().live();
        let wanted = live.cloned().unwrap_or_default();
        let durable = self.disk.node(ours).metadata().durable();
        let durable = durable.cloned().unwrap_or_default();
        let is_own = |change: &&MetadataChange| change.node == ours;
        let own: Vec<&MetadataChange> = if self.disk.profile.names_in_order() {
            in_order.iter().copied().filter(is_own).collect()
        } else {
            self.disk.metadata.iter().filter(is_own).collect()
        };
        let with = |kept: &dyn Fn(usize) -> bool| {
            let mut metadata: Metadata = durable.clone();
            for (_, change) in own.iter().enumerate().filter(|(index, _)| kept(*index)) {
                change.setting.apply(&mut metadata);
            }
            metadata == wanted
        };
        if self.disk.profile == Profile::SyncedOnly {
            return with(&|_| false);
        }
        if self.disk.profile.names_in_order() {
            return with(&|_| true);
        }
        // Where there are more, it is taken to be possible: a state that is in doubt must not count.
        own.len() > SETTINGS_MAX
            || (0..1_usize << own.len()).any(|mask| with(&|index| mask >> index & 1 == 1))
    }
}

/// Keeps of a file what makes it the one that is wanted. Of each question at most one answer is right:
/// versions of the same bytes differ.
struct Wanting<'f> {
    file: &'f FileNode,
    wanted: &'f Content,
}

impl Wanting<'_> {
    /// The sectors of the file after all writes up to an operation; the durable ones for none.
    fn version(&self, first: u64, count: usize, until: Option<u64>) -> Vec<u8> {
        let mut bytes = self.file.durable.sectors(first, count);
        let writes = self.file.writes.iter();
        for write in writes.filter(|write| until.is_some_and(|until| write.op <= until)) {
            for (sector, bytes) in (first..).zip(bytes.chunks_exact_mut(SECTOR_BYTES)) {
                if write.sectors().contains(&sector) {
                    bytes.copy_from_slice(write.sector(sector));
                }
            }
        }
        bytes
    }
}

impl Chooser for Wanting<'_> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let found = match question {
            Question::Size { sizes, .. } => {
                sizes.iter().position(|size| *size == self.wanted.len())
            }
            Question::Bytes {
                offset,
                len,
                ops,
                old,
                ..
            } => {
                let (first, count) = (offset / SECTOR_BYTES as u64, len / SECTOR_BYTES);
                if self.wanted.is_garbage(first) {
                    return answers - 1;
                }
                let wanted = self.wanted.sectors(first, count);
                // What lies behind the end does not count.
                let seen = self.wanted.len().saturating_sub(*offset);
                let seen = usize::try_from(seen).unwrap_or(*len).min(*len);
                let versions = ops.iter().map(|op| Some(*op)).chain(old.then_some(None));
                versions
                    .map(|until| self.version(first, count, until))
                    .position(|version| version[..seen] == wanted[..seen])
            }
            Question::Name { .. } | Question::Metadata { .. } => None,
        };
        let found = found.and_then(|found| u32::try_from(found).ok());
        found.unwrap_or(0).min(answers - 1)
    }
}
