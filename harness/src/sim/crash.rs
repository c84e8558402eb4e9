//! Power loss: from everything that may happen to what is pending, one outcome.

use std::collections::BTreeMap;

use super::choice::{Chooser, Question};
use super::content::{Content, PAGE_BYTES, SECTOR_BYTES};
use super::disk::{DirNode, Disk, FileNode, Ino, NameChange, Node, ROOT, Write};
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
            clock: self.clock,
        };
        let mut dirs: BTreeMap<Ino, DirNode> = BTreeMap::new();
        for (ino, node) in self.nodes.iter().enumerate() {
            if let Some(Node::Dir(dir)) = node.as_deref() {
                dirs.insert(
                    ino,
                    DirNode {
                        live: dir.durable.clone(),
                        durable: dir.durable.clone(),
                    },
                );
            }
        }
        for change in self.surviving_names(chooser) {
            change.apply(|dir, edit| {
                let dir = dirs.get_mut(&dir).expect("a directory keeps its number");
                edit(&mut dir.live);
                edit(&mut dir.durable);
            });
        }
        // Only what can still be reached is worth a question.
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            if crashed.nodes[ino].is_some() {
                continue;
            }
            let node = match self.node(ino) {
                Node::File(file) => {
                    Node::File(FileNode::of(self.surviving_bytes(file, &path, chooser)))
                }
                Node::Dir(_) => {
                    let dir = dirs.remove(&ino).expect("reached for the first time");
                    let children = dir.live.iter().rev();
                    open.extend(children.map(|(name, child)| (format!("{path}/{name}"), *child)));
                    Node::Dir(dir)
                }
            };
            crashed.nodes[ino] = Some(node.into());
        }
        crashed
    }

    /// Everything pending is durable: nothing is lost.
    fn settle(&mut self) {
        self.names.clear();
        for node in self.nodes.iter_mut().flatten() {
            let settled = match &**node {
                Node::File(file) => Node::File(FileNode::of(file.live.clone())),
                Node::Dir(dir) => Node::Dir(DirNode {
                    live: dir.live.clone(),
                    durable: dir.live.clone(),
                }),
            };
            *node = settled.into();
        }
    }

    fn surviving_names(&self, chooser: &mut dyn Chooser) -> Vec<&NameChange> {
        if self.profile == Profile::SyncedOnly {
            return Vec::new();
        }
        if self.profile.names_in_order() {
            let of = self.names.len();
            if of == 0 {
                return Vec::new();
            }
            let answers = u32::try_from(of + 1).expect("a few names");
            let lost = chooser.choose(answers, &Question::NamesLost { of });
            return self.names[..of - lost as usize].iter().collect();
        }
        let kept = |change: &&NameChange| {
            let question = Question::Name {
                op: change.op,
                change: &change.to_string(),
            };
            chooser.choose(2, &question) == 0
        };
        self.names.iter().filter(kept).collect()
    }

    fn surviving_bytes(&self, file: &FileNode, path: &str, chooser: &mut dyn Chooser) -> Content {
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

impl std::fmt::Display for NameChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.removed, &self.added) {
            (Some(from), Some(to)) => write!(f, "the rename of `{}` to `{}`", from.name, to.name),
            (None, Some(new)) => write!(f, "the name `{}`", new.name),
            (Some(old), None) => write!(f, "the removal of the name `{}`", old.name),
            (None, None) => f.write_str("nothing"),
        }
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
        // A file that was cut keeps to no order that could be relied on.
        let ordered = self.profile.names_in_order() && !shrank;
        let len = self.choose_len(ordered, chooser);
        let mut content = durable.clone();
        let unit = if self.profile.whole_pages() {
            PAGE
        } else {
            SECTOR
        };
        for (number, writes) in self.units(unit) {
            let offset = number * unit;
            if offset >= len {
                continue;
            }
            let new_space = offset >= durable.len();
            // The page with the last byte was on disk before the size said so.
            let with_the_size = ordered
                && self.profile.grows_with_data()
                && len > durable.len()
                && offset / PAGE == (len - 1) / PAGE;
            self.choose_unit(
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

    fn choose_len(&self, ordered: bool, chooser: &mut dyn Chooser) -> u64 {
        let durable = self.file.durable.len();
        let mut sizes: Vec<u64> = self.file.sizes.iter().rev().copied().collect();
        if ordered {
            // Bytes get to the disk page by page.
            let live = self.file.live.len().max(durable);
            let pages = (durable / PAGE + 1..live.div_ceil(PAGE)).map(|page| page * PAGE);
            sizes.extend(pages);
            sizes.retain(|size| *size > durable);
            sizes.sort_unstable_by(|a, b| b.cmp(a));
        }
        sizes.push(durable);
        let mut distinct: Vec<u64> = Vec::new();
        for size in sizes {
            if !distinct.contains(&size) {
                distinct.push(size);
            }
        }
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
        // Zeros that were cut off are only of interest where there was something.
        let end = self
            .file
            .durable
            .len()
            .max(self.file.live.len())
            .div_ceil(SECTOR);
        for write in self.file.writes.iter().rev() {
            let sectors = write.sectors();
            let last = sectors.end.min(end);
            if sectors.start >= last {
                continue;
            }
            for number in sectors.start / per_unit..=(last - 1) / per_unit {
                units.entry(number).or_default().push(write);
            }
        }
        units
    }

    fn choose_unit(&self, unit: &Unit<'_>, content: &mut Content, chooser: &mut dyn Chooser) {
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
            versions.push((write.op, bytes.clone()));
        }
        // Newest first, each different one once.
        let mut written: Vec<(u64, Vec<u8>)> = Vec::new();
        for (op, bytes) in versions.into_iter().rev() {
            if written.iter().all(|(_, known)| *known != bytes) {
                written.push((op, bytes));
            }
        }
        if written.len() == 1 && written[0].1 == base {
            return;
        }
        let ops: Vec<u64> = written.iter().map(|(op, _)| *op).collect();
        let old = !unit.with_the_size && written.iter().all(|(_, bytes)| *bytes != base);
        let garbage = unit.new_space && self.profile == Profile::Strict;
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
            None if old && answer == ops.len() => return,
            None => (garbage_for(unit.offset, count), true),
        };
        for (sector, bytes) in (first..).zip(bytes.chunks_exact(SECTOR_BYTES)) {
            content.put_sector(sector, bytes, is_garbage);
        }
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
