//! Everything a file system holds at one moment: what programs see, what is durable, and what lies
//! between.
//!
//! Nothing becomes durable by close, by rename or by time: only a sync moves changes over. Cheap to
//! clone: pages, files and directories are shared until they change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::Hasher;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use rand::{Rng, RngExt};
use twox_hash::XxHash3_64;

use super::content::{Content, PAGE_BYTES, SECTOR_BYTES};
use super::profile::Profile;

/// Names a file or directory, whatever its paths are.
pub(crate) type Ino = usize;

pub(crate) type Names = BTreeMap<Arc<str>, Ino>;

/// The root directory.
pub(crate) const ROOT: Ino = 0;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: Ino,
    pub(crate) name: Arc<str>,
}

/// A change of names that is not durable. A rename has both halves.
#[derive(Clone, Debug)]
pub(crate) struct NameChange {
    pub(crate) op: u64,
    pub(crate) node: Ino,
    pub(crate) removed: Option<Place>,
    pub(crate) added: Option<Place>,
    /// The node is new.
    pub(crate) creates: bool,
}

/// Sectors that were written and are not durable.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) op: u64,
    /// Number of the first sector.
    pub(crate) first: u64,
    pub(crate) bytes: Written,
    /// From which to which size it made the file grow.
    pub(crate) grew: Range<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// Whole sectors.
    Bytes(Arc<[u8]>),
    /// So many sectors of zeros: what was cut off.
    Zeros(u64),
}

impl Write {
    pub(crate) fn sectors(&self) -> Range<u64> {
        let count = match &self.bytes {
            Written::Bytes(bytes) => (bytes.len() / SECTOR_BYTES) as u64,
            Written::Zeros(count) => *count,
        };
        self.first..self.first + count
    }

    /// What it wrote to a sector in its range.
    pub(crate) fn sector(&self, sector: u64) -> &[u8] {
        const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];
        match &self.bytes {
            Written::Bytes(bytes) => {
                let at = usize::try_from(sector - self.first).expect("in range") * SECTOR_BYTES;
                &bytes[at..at + SECTOR_BYTES]
            }
            Written::Zeros(_) => &ZEROS,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileNode {
    pub(crate) live: Content,
    pub(crate) durable: Content,
    /// Oldest first.
    pub(crate) writes: Vec<Write>,
    /// Lengths that the file has had since the last sync, oldest first.
    pub(crate) sizes: Vec<u64>,
    /// A failed sync has dropped something: live is not durable with all that is pending.
    pub(super) diverged: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DirNode {
    pub(crate) live: Names,
    pub(crate) durable: Names,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// A file system at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) profile: Profile,
    /// `None`: a file that nobody can reach any more.
    pub(crate) nodes: Vec<Option<Arc<Node>>>,
    /// Changes of names that are not durable, oldest first.
    pub(crate) names: Vec<NameChange>,
    /// Index of the next operation. It counts on from crash to crash.
    pub(crate) clock: u64,
}

impl Disk {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            nodes: vec![Some(Arc::new(Node::Dir(DirNode::default())))],
            names: Vec::new(),
            clock: 0,
        }
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
            Node::File(_) => Err(Errno::ENOTDIR.into()),
        }
    }

    pub(crate) fn file(&self, ino: Ino) -> io::Result<&FileNode> {
        match self.node(ino) {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(Errno::EISDIR.into()),
        }
    }

    fn dir_mut(&mut self, ino: Ino) -> &mut DirNode {
        match self.node_mut(ino) {
            Node::Dir(dir) => dir,
            Node::File(_) => unreachable!("a directory was looked up"),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> &mut FileNode {
        match self.node_mut(ino) {
            Node::File(file) => file,
            Node::Dir(_) => unreachable!("a file was looked up"),
        }
    }

    /// What stands under a name.
    pub(crate) fn find(&self, place: &Place) -> io::Result<Option<Ino>> {
        Ok(self.dir(place.dir)?.live.get(&place.name).copied())
    }

    /// Takes the next index for an operation that changes something.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock - 1
    }

    fn change_name(&mut self, node: Ino, removed: Option<Place>, added: Option<Place>) {
        let op = self.tick();
        let change = NameChange {
            op,
            node,
            removed,
            added,
            creates: false,
        };
        change.apply(|dir, edit| edit(&mut self.dir_mut(dir).live));
        self.names.push(change);
    }

    /// A new, empty file or directory.
    pub(crate) fn create(&mut self, place: Place, is_dir: bool) -> io::Result<Ino> {
        if self.find(&place)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        let ino = self.nodes.len();
        self.nodes.push(Some(Arc::new(if is_dir {
            Node::Dir(DirNode::default())
        } else {
            Node::File(FileNode::default())
        })));
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
                Node::File(_) if is_dir => return Err(Errno::ENOTDIR.into()),
                _ => {}
            }
        }
        self.change_name(node, Some(from), Some(to));
        Ok(())
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
            Node::File(_) if is_dir => return Err(Errno::ENOTDIR.into()),
            Node::Dir(dir) if !dir.live.is_empty() => {
                return Err(Errno::ENOTEMPTY.into());
            }
            _ => {}
        }
        self.change_name(node, Some(place), None);
        Ok(())
    }

    pub(crate) fn write(&mut self, ino: Ino, bytes: &[u8], offset: u64) {
        let op = self.tick();
        if bytes.is_empty() {
            return;
        }
        let file = self.file_mut(ino);
        let before = file.live.len();
        file.live.write_at(bytes, offset);
        let sector_bytes = SECTOR_BYTES as u64;
        let first = offset / sector_bytes;
        let end = (offset + bytes.len() as u64).div_ceil(sector_bytes);
        let aligned =
            offset.is_multiple_of(sector_bytes) && bytes.len().is_multiple_of(SECTOR_BYTES);
        let sectors: Arc<[u8]> = if aligned {
            bytes.into()
        } else {
            let count = usize::try_from(end - first).expect("as long as what was written");
            file.live.sectors(first, count).into()
        };
        file.writes.push(Write {
            op,
            first,
            bytes: Written::Bytes(sectors),
            grew: before..file.live.len(),
        });
        let len = file.live.len();
        // Of a size that a failed sync has dropped, a write brings back as much as its own page.
        let reached = (end * sector_bytes)
            .next_multiple_of(PAGE_BYTES as u64)
            .min(len);
        let pending = file.sizes.last().copied().unwrap_or(file.durable.len());
        if len != before {
            file.sizes.push(len);
        } else if file.diverged && reached > pending {
            file.sizes.push(reached);
        }
    }

    pub(crate) fn set_len(&mut self, ino: Ino, len: u64) {
        let op = self.tick();
        let file = self.file_mut(ino);
        let before = file.live.len();
        file.live.set_len(len);
        if len == before && (!file.diverged || len == file.durable.len()) {
            return;
        }
        file.sizes.push(len);
        if len >= before {
            return;
        }
        // What was cut off must not come back when the file grows again.
        let sector_bytes = SECTOR_BYTES as u64;
        let mut first = len / sector_bytes;
        if !len.is_multiple_of(sector_bytes) {
            let bytes = file.live.sectors(first, 1).into();
            file.writes.push(Write {
                op,
                first,
                bytes: Written::Bytes(bytes),
                grew: len..len,
            });
            first += 1;
        }
        let count = before.div_ceil(sector_bytes).saturating_sub(first);
        if count > 0 {
            file.writes.push(Write {
                op,
                first,
                bytes: Written::Zeros(count),
                grew: len..len,
            });
        }
    }

    /// fsync, or with `data_only` fdatasync, of a file.
    pub(crate) fn sync_file(&mut self, ino: Ino, data_only: bool) {
        self.tick();
        let committed = self.metadata_synced_with(ino, data_only);
        let file = self.file_mut(ino);
        if file.diverged {
            file.write_back();
        } else {
            file.durable = file.live.clone();
            file.writes.clear();
            file.sizes.clear();
        }
        self.make_names_durable(|change| committed(change));
    }

    /// Which changes of names a sync of this file makes durable.
    fn metadata_synced_with(
        &self,
        ino: Ino,
        data_only: bool,
    ) -> impl Fn(&NameChange) -> bool + use<> {
        // One journal: everything up to the file's own last change. A new size is logged by the sync.
        let grew = self.file(ino).is_ok_and(|file| !file.sizes.is_empty());
        let own = self.names.iter().filter(|change| change.node == ino);
        // Names are no matter of data: only a new file's first commit is.
        let own = own.filter(|change| !data_only || change.creates);
        let own_last = own.map(|change| change.op + 1).max().unwrap_or(0);
        let journalled = match self.profile.has_one_journal() {
            true if grew => u64::MAX,
            true => own_last,
            false => 0,
        };
        let own = self
            .profile
            .sync_keeps_names()
            .then(|| self.with_ancestors(ino));
        move |change| {
            change.op < journalled || own.as_ref().is_some_and(|own| own.contains(&change.node))
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
            self.make_names_durable(|change| last.is_some_and(|last| change.op <= last));
            return;
        }
        // Of a file renamed into this directory, only its new name; but it is never lost. A directory
        // has one name at a time, so it brings all that happened to it.
        let mut whole = Vec::new();
        for change in std::mem::take(&mut self.names) {
            let arrives =
                is_in(&change.added) && change.removed.is_some() && !is_in(&change.removed);
            let is_file = matches!(self.nodes[change.node].as_deref(), Some(Node::File(_)));
            if arrives && is_file {
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
        for later in (0..due.len()).rev() {
            if due[later] {
                let vacated = |earlier: &usize| self.names[later].needs(&self.names[*earlier]);
                let earlier: Vec<usize> = (0..later).filter(vacated).collect();
                for earlier in earlier {
                    due[earlier] = true;
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

    /// A sync of a file that failed: what was pending is clean from now on, and never written. What
    /// becomes of it differs; the sources are in `docs/power.md`.
    pub(crate) fn fail_sync(&mut self, ino: Ino, rng: &mut impl Rng) {
        self.tick();
        let profile = self.profile;
        let file = self.file_mut(ino);
        let writes = std::mem::take(&mut file.writes);
        let sizes = std::mem::take(&mut file.sizes);
        let size = sizes.last().copied();
        file.diverged = true;
        match profile {
            // ext4, XFS: some bytes are lost, memory still shows them. ext4 commits the size.
            Profile::Ext4Ordered | Profile::Xfs => {
                let pages = writes.iter().map(Write::sectors);
                let pages = pages.flat_map(|sectors| sectors.start / 8..=(sectors.end - 1) / 8);
                let pages: BTreeSet<u64> = pages.collect();
                let certain = rng.random_range(0..pages.len().max(1));
                let mut lost = BTreeSet::new();
                for (index, page) in pages.into_iter().enumerate() {
                    if index == certain || rng.random_bool(0.5) {
                        lost.insert(page);
                    }
                }
                for write in &writes {
                    for sector in write
                        .sectors()
                        .filter(|sector| !lost.contains(&(sector / 8)))
                    {
                        file.durable.put_sector(sector, write.sector(sector), false);
                    }
                }
                let size = size.filter(|_| profile == Profile::Ext4Ordered);
                file.durable.set_len(size.unwrap_or(file.durable.len()));
            }
            // Btrfs: memory goes back to what the disk has.
            Profile::Btrfs => file.live = file.durable.clone(),
            // Anything.
            Profile::Strict | Profile::SyncedOnly | Profile::Everything => {
                for write in &writes {
                    for sector in write.sectors() {
                        if rng.random_bool(0.5) {
                            file.durable.put_sector(sector, write.sector(sector), false);
                        }
                    }
                }
                let size = size.filter(|_| rng.random_bool(0.5));
                file.durable.set_len(size.unwrap_or(file.durable.len()));
                if rng.random_bool(0.25) {
                    file.live = file.durable.clone();
                }
            }
        }
    }

    /// A sync of a directory that failed. Nothing is known of the names; they stay pending.
    pub(crate) fn fail_sync_dir(&mut self) {
        self.tick();
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

    /// Writes what programs see into a directory of the real file system.
    pub(crate) fn lay_out(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for (path, ino) in self.tree(false) {
            let path = dir.join(path.trim_start_matches('/'));
            match self.node(ino) {
                Node::Dir(_) => fs::create_dir(path)?,
                Node::File(file) => fs::write(path, file.live.bytes())?,
            }
        }
        Ok(())
    }

    /// Tells disks apart by what programs see; those that differ in garbage alone are the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = XxHash3_64::new();
        self.fingerprint_dir(ROOT, &mut hasher);
        hasher.finish()
    }

    fn fingerprint_dir(&self, ino: Ino, hasher: &mut XxHash3_64) {
        match self.node(ino) {
            Node::File(file) => file.live.fingerprint(hasher),
            Node::Dir(dir) => {
                for (name, child) in &dir.live {
                    hasher.write(name.as_bytes());
                    hasher.write_u8(0);
                    self.fingerprint_dir(*child, hasher);
                }
                hasher.write_u8(1);
            }
        }
    }
}

impl FileNode {
    /// Sectors that programs see and no sync would write, as byte ranges.
    pub(super) fn in_memory_only(&self) -> Vec<Range<u64>> {
        let sector_bytes = SECTOR_BYTES as u64;
        let end = self
            .live
            .len()
            .max(self.durable.len())
            .div_ceil(sector_bytes);
        let is_pending = |sector: u64| {
            self.writes
                .iter()
                .any(|write| write.sectors().contains(&sector))
        };
        (0..end)
            .filter(|sector| {
                let beyond = sector * sector_bytes >= self.durable.len();
                let differs = self.live.sectors(*sector, 1) != self.durable.sectors(*sector, 1);
                (beyond || differs) && !is_pending(*sector)
            })
            .map(|sector| sector * sector_bytes..(sector + 1) * sector_bytes)
            .collect()
    }

    /// Makes everything pending durable, whatever has been dropped before.
    fn write_back(&mut self) {
        for write in std::mem::take(&mut self.writes) {
            for sector in write.sectors() {
                self.durable.put_sector(sector, write.sector(sector), false);
            }
        }
        let sizes = std::mem::take(&mut self.sizes);
        let len = sizes.last().copied().unwrap_or(self.durable.len());
        self.durable.set_len(len);
    }
}

impl NameChange {
    /// Whether it gives away a name that a file had before a rename: that file would be lost without
    /// its new name.
    pub(super) fn needs(&self, earlier: &Self) -> bool {
        let is_rename = earlier.added.is_some() && earlier.removed.is_some();
        is_rename && self.added == earlier.removed
    }

    /// Carries the change out on the names of the directories that it concerns.
    pub(crate) fn apply(&self, mut in_dir: impl FnMut(Ino, &dyn Fn(&mut Names))) {
        if let Some(Place { dir, name }) = &self.removed {
            // Only its own name: somebody else may have got it.
            in_dir(*dir, &|names| {
                if names.get(name) == Some(&self.node) {
                    names.remove(name);
                }
            });
        }
        if let Some(Place { dir, name }) = &self.added {
            in_dir(*dir, &|names| {
                names.insert(Arc::clone(name), self.node);
            });
        }
    }
}
