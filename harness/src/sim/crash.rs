//! Power loss: from everything that may happen to what is pending, one outcome.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::change::{MetadataChange, NameChange};
use super::choice::{Chooser, Question};
use super::content::{Content, PAGE_BYTES, SECTOR_BYTES};
use super::disk::Disk;
use super::nodes::{DirNode, FileNode, Ino, Names, Node, ROOT, Sides, SpecialNode, Write, Written};
use super::profile::Profile;

const SECTOR: u64 = SECTOR_BYTES as u64;
const PAGE: u64 = PAGE_BYTES as u64;

impl Disk {
    /// What a power cut at this moment leaves, if `chooser` decides. This disk is not disturbed.
    pub(crate) fn crash(&self, chooser: &mut dyn Chooser) -> Self {
        if self.profile == Profile::Everything {
            let mut disk = self.clone();
            disk.settle();
            return disk;
        }
        let mut crashed = Self {
            profile: self.profile,
            nodes: vec![None; self.nodes.len()],
            names: Vec::new(),
            metadata: Vec::new(),
            clock: self.clock,
        };
        let (names, settings) = self.surviving_changes(chooser);
        let mut dirs = self.names_with(&names);
        // Only what can still be reached is worth a question.
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            if crashed.nodes[ino].is_some() {
                continue;
            }
            let metadata = self.surviving_metadata(ino, &path, &settings, chooser);
            let node = match self.node(ino) {
                Node::File(file) => Node::File(FileNode {
                    metadata,
                    freed: file.freed,
                    ..FileNode::of(self.surviving_bytes(file, &path, chooser))
                }),
                Node::Special(special) => Node::Special(SpecialNode {
                    kind: special.kind.clone(),
                    metadata,
                }),
                Node::Dir(_) => {
                    let names = dirs.remove(&ino).expect("reached for the first time");
                    let children = names.iter().rev();
                    open.extend(children.map(|(name, child)| (format!("{path}/{name}"), *child)));
                    Node::Dir(DirNode {
                        live: names.clone(),
                        durable: names,
                        metadata,
                    })
                }
            };
            crashed.nodes[ino] = Some(node.into());
        }
        crashed
    }

    /// The names in each directory: the durable ones, with these changes.
    pub(super) fn names_with(&self, changes: &[&NameChange]) -> BTreeMap<Ino, Names> {
        let mut dirs = BTreeMap::new();
        for (ino, node) in self.nodes.iter().enumerate() {
            if let Some(Node::Dir(dir)) = node.as_deref() {
                dirs.insert(ino, dir.durable.clone());
            }
        }
        for change in changes {
            change.apply(|dir, edit| {
                edit(dirs.get_mut(&dir).expect("a directory keeps its number"));
            });
        }
        dirs
    }

    /// Everything pending is durable: nothing is lost.
    pub(crate) fn settle(&mut self) {
        self.names.clear();
        self.metadata.clear();
        for node in self.nodes.iter_mut().flatten() {
            let metadata = node.metadata().live().cloned();
            let metadata = metadata.map_or_else(Sides::default, Sides::of);
            let settled = match &**node {
                Node::File(file) => Node::File(FileNode {
                    metadata,
                    freed: file.freed,
                    ..FileNode::of(file.live.clone())
                }),
                Node::Dir(dir) => Node::Dir(DirNode {
                    live: dir.live.clone(),
                    durable: dir.live.clone(),
                    metadata,
                }),
                Node::Special(special) => Node::Special(SpecialNode {
                    kind: special.kind.clone(),
                    metadata,
                }),
            };
            *node = settled.into();
        }
    }

    /// The changes that survive. Where metadata keeps to no order with names, each node's is chosen when
    /// the node is reached.
    pub(super) fn surviving_changes(
        &self,
        chooser: &mut dyn Chooser,
    ) -> (Vec<&NameChange>, Vec<&MetadataChange>) {
        if self.profile == Profile::SyncedOnly {
            return (Vec::new(), Vec::new());
        }
        let ask = |chooser: &mut dyn Chooser, change: &NameChange| {
            let question = Question::Name {
                op: change.op,
                change: format_args!("{change}"),
            };
            chooser.choose(2, &question) == 0
        };
        // The halves of an exchange share one answer.
        let mut lost: Option<&NameChange> = None;
        if self.profile.names_in_order() {
            // The newest ones are lost, until one is kept.
            let (mut names, mut settings) = (self.names.as_slice(), self.metadata.as_slice());
            loop {
                match (names.split_last(), settings.split_last()) {
                    (name, Some((setting, older)))
                        if name.is_none_or(|(name, _)| name.op < setting.op) =>
                    {
                        let path = self.path_of(setting.node);
                        let path = path.as_deref().unwrap_or("a removed file");
                        if setting.is_kept(path, chooser) {
                            break;
                        }
                        settings = older;
                    }
                    (Some((name, older)), _) => {
                        let is_lost = lost.is_some_and(|lost| lost.goes_with(name));
                        if !is_lost && ask(chooser, name) {
                            break;
                        }
                        lost = Some(name);
                        names = older;
                    }
                    (None, _) => break,
                }
            }
            return (names.iter().collect(), settings.iter().collect());
        }
        let mut kept: Vec<&NameChange> = Vec::new();
        for (index, change) in self.names.iter().enumerate().rev() {
            // Where a rename has made room for one that is kept, it is kept too: no file is lost by it.
            // What one half of an exchange is needed for, the other one is.
            let others = self.names[..index].iter().rev();
            let mut halves = others.take_while(|other| other.goes_with(change));
            let is_needed = |change: &NameChange| {
                let needs =
                    |later: &&NameChange| later.goes_with(change) || self.needs(later, change);
                change.can_be_needed() && kept.iter().any(needs)
            };
            let is_lost = lost.is_some_and(|lost| lost.goes_with(change));
            let is_kept = is_needed(change) || halves.any(is_needed);
            if !is_lost && (is_kept || ask(chooser, change)) {
                kept.push(change);
            } else {
                lost = Some(change);
            }
        }
        kept.reverse();
        (kept, Vec::new())
    }

    /// A node's metadata with those of its changes that survive.
    fn surviving_metadata(
        &self,
        ino: Ino,
        path: &str,
        in_order: &[&MetadataChange],
        chooser: &mut dyn Chooser,
    ) -> Sides {
        let Some(durable) = self.node(ino).metadata().durable() else {
            return Sides::default();
        };
        let mut metadata = durable.clone();
        let mut kept: Vec<&MetadataChange> = if self.profile == Profile::SyncedOnly {
            Vec::new()
        } else if self.profile.names_in_order() {
            in_order
                .iter()
                .copied()
                .filter(|change| change.node == ino)
                .collect()
        } else {
            let path = if path.is_empty() { "/" } else { path };
            let own = self.metadata.iter().filter(|change| change.node == ino);
            own.rev()
                .filter(|change| change.is_kept(path, chooser))
                .collect()
        };
        // Oldest first.
        kept.sort_unstable_by_key(|change| change.op);
        for change in kept {
            change.setting.apply(&mut metadata);
        }
        Sides::of(metadata)
    }

    pub(super) fn surviving_bytes(
        &self,
        file: &FileNode,
        path: &str,
        chooser: &mut dyn Chooser,
    ) -> Content {
        if self.profile == Profile::SyncedOnly || (file.writes.is_empty() && file.sizes.is_empty())
        {
            return file.durable.clone();
        }
        let survival = Survival {
            profile: self.profile,
            file,
            path,
        };
        survival.choose(chooser)
    }
}

impl MetadataChange {
    fn is_kept(&self, path: &str, chooser: &mut dyn Chooser) -> bool {
        let question = Question::Metadata {
            op: self.op,
            path,
            change: format_args!("{}", self.setting),
        };
        chooser.choose(2, &question) == 0
    }
}

impl FileNode {
    /// A file with nothing pending.
    fn of(content: Content) -> Self {
        Self {
            live: content.clone(),
            durable: content,
            ..Self::default()
        }
    }
}

/// One file's pending bytes and sizes.
struct Survival<'a> {
    profile: Profile,
    file: &'a FileNode,
    path: &'a str,
}

impl Survival<'_> {
    fn choose(&self, chooser: &mut dyn Chooser) -> Content {
        let durable = &self.file.durable;
        let shrank = {
            let lens = [durable.len()]
                .into_iter()
                .chain(self.file.sizes.iter().copied());
            let lens: Vec<u64> = lens.collect();
            lens.windows(2).any(|pair| pair[1] < pair[0])
        };
        let len = self.choose_len(chooser);
        // A size that was set vouches for nothing, and a file that was cut keeps to no order.
        let grew_to = |write: &&Write| len > 0 && write.grew.contains(&(len - 1));
        let vouching = self.file.writes.iter().find(grew_to).map(|write| write.op);
        let vouching =
            vouching.filter(|_| self.profile.grows_with_data() && !shrank && len > durable.len());
        let mut content = durable.clone();
        let unit = if self.profile.whole_pages() {
            PAGE
        } else {
            SECTOR
        };
        let mut units = self.units(unit);
        units.split_off(&len.div_ceil(unit));
        let mut some_new = false;
        while let Some((number, writes)) = units.pop_first() {
            let offset = number * unit;
            let new_space = offset >= durable.len();
            // It was on disk, as it was then, before the size said so.
            let with_the_size = vouching.is_some_and(|grew| {
                let goes_first = match self.profile {
                    // Any new page takes the whole size along.
                    Profile::Btrfs => !some_new && units.is_empty(),
                    // The page with the last byte.
                    _ => offset / PAGE == (len - 1) / PAGE,
                };
                goes_first && writes.iter().any(|write| write.op <= grew)
            });
            some_new |= self.choose_unit(
                &Unit {
                    offset,
                    len: unit,
                    writes,
                    new_space,
                    with_the_size,
                },
                &mut content,
                chooser,
            );
        }
        content.set_len(len);
        content
    }

    fn choose_len(&self, chooser: &mut dyn Chooser) -> u64 {
        let durable = self.file.durable.len();
        let mut sizes: Vec<u64> = self.file.sizes.iter().rev().copied().collect();
        // Bytes get to the disk page by page: from the page in which the file ended, and then over what was
        // written. A hole in between has none.
        for write in self.file.writes.iter().rev() {
            let ends = write.grew.start / PAGE + 1..write.grew.end.div_ceil(PAGE);
            let written = write.sectors().start * SECTOR / PAGE + 1;
            let pages = ends.start.max(written)..ends.end;
            let first = (ends.start < pages.start.min(ends.end)).then_some(ends.start);
            sizes.extend(pages.rev().chain(first).map(|page| page * PAGE));
        }
        sizes.push(durable);
        let mut known = HashSet::new();
        let mut distinct = sizes;
        distinct.retain(|size| known.insert(*size));
        if distinct.len() == 1 {
            return distinct[0];
        }
        let question = Question::Size {
            path: self.path,
            sizes: &distinct,
        };
        let answers = u32::try_from(distinct.len()).expect("as many as operations");
        distinct[chooser.choose(answers, &question) as usize]
    }

    /// The pieces that were written, each with the writes that touch it, newest first.
    fn units(&self, unit: u64) -> BTreeMap<u64, Vec<&Write>> {
        let mut units: BTreeMap<u64, Vec<&Write>> = BTreeMap::new();
        let per_unit = unit / SECTOR;
        let numbers = |sectors: Range<u64>| {
            let from = sectors.start / per_unit;
            from..sectors.end.div_ceil(per_unit).max(from)
        };
        // What was cut off is only of interest where there was something.
        let durable_end = self.file.durable.len().div_ceil(SECTOR);
        for write in &self.file.writes {
            let mut sectors = write.sectors();
            if matches!(write.bytes, Written::Zeros(_)) {
                sectors.end = sectors.end.min(durable_end);
            }
            for number in numbers(sectors) {
                units.entry(number).or_default();
            }
        }
        for write in self.file.writes.iter().rev() {
            for (_, writes) in units.range_mut(numbers(write.sectors())) {
                writes.push(write);
            }
        }
        units
    }

    /// Whether it is a version that was written.
    fn choose_unit(
        &self,
        unit: &Unit<'_>,
        content: &mut Content,
        chooser: &mut dyn Chooser,
    ) -> bool {
        let count = usize::try_from(unit.len).expect("a page at most") / SECTOR_BYTES;
        let first = unit.offset / SECTOR;
        let base = content.sectors(first, count);
        let mut bytes = base.clone();
        let mut versions: Vec<(u64, Vec<u8>)> = Vec::new();
        for write in unit.writes.iter().rev() {
            for (sector, bytes) in (first..).zip(bytes.chunks_exact_mut(SECTOR_BYTES)) {
                if write.sectors().contains(&sector) {
                    bytes.copy_from_slice(write.sector(sector));
                }
            }
            // A cut is one operation, even if it takes two writes.
            versions.pop_if(|(op, _)| *op == write.op);
            versions.push((write.op, bytes.clone()));
        }
        // Newest first, each different one once.
        let mut written: Vec<(u64, Vec<u8>)> = Vec::new();
        for (op, bytes) in versions.into_iter().rev() {
            if written.iter().all(|(_, known)| *known != bytes) {
                written.push((op, bytes));
            }
        }
        let garbage = unit.new_space && self.profile == Profile::Strict;
        if written.len() == 1 && written[0].1 == base && !garbage {
            return true;
        }
        let ops: Vec<u64> = written.iter().map(|(op, _)| *op).collect();
        let old = !unit.with_the_size && written.iter().all(|(_, bytes)| *bytes != base);
        let answers = ops.len() + usize::from(old) + usize::from(garbage);
        let question = Question::Bytes {
            path: self.path,
            offset: unit.offset,
            len: count * SECTOR_BYTES,
            ops: &ops,
            old,
            new_space: unit.new_space,
        };
        let answer = if answers > 1 {
            let answers = u32::try_from(answers).expect("as many as operations");
            chooser.choose(answers, &question) as usize
        } else {
            0
        };
        let (bytes, is_garbage) = match written.get(answer) {
            Some((_, bytes)) => (bytes.clone(), false),
            None if old && answer == ops.len() => return false,
            None => (garbage_for(unit.offset, count), true),
        };
        for (sector, bytes) in (first..).zip(bytes.chunks_exact(SECTOR_BYTES)) {
            content.put_sector(sector, bytes, is_garbage);
        }
        !is_garbage
    }
}

/// A piece of a file that was written since the last sync.
struct Unit<'a> {
    offset: u64,
    len: u64,
    /// Newest first.
    writes: Vec<&'a Write>,
    /// It lies beyond the durable end.
    new_space: bool,
    /// It got to the disk before the size did.
    with_the_size: bool,
}

/// Bytes that nobody wrote, the same for every crash.
fn garbage_for(offset: u64, sectors: usize) -> Vec<u8> {
    use rand::Rng;
    let mut bytes = vec![0; sectors * SECTOR_BYTES];
    crate::workload::stream(offset, 0x6761_7262).fill_bytes(&mut bytes);
    bytes
}
