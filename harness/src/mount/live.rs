//! The file system as programs see it: a simulated one, whose changes are noted as acts.
//!
//! An act has paths, as it is done again where nothing is mounted. A file that has lost its last name is
//! of no use after a crash: what is done to it is no act, and it is kept apart.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::TimeOrNow;
use nix::errno::Errno;

use super::marks::Marks;
use super::times::{Clock, Times};
use crate::injection::Injection;
use crate::sim::{Act, Bytes, Disk, Ino, Node, Past, Place, ROOT, Setting};
use crate::store::Span;
use crate::tree::{Kind, Metadata};

/// The length of a name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The end of the longest file: that of ext4 with blocks of 4 KiB, where a crash state may be laid out.
const FILE_BYTES_MAX: u64 = (1 << 44) - 4096;

/// A run writes so many bytes at the most: all of them are kept.
const WRITTEN_BYTES_MAX: u64 = 2 << 30;

/// What was done on a file system.
#[derive(Debug)]
pub(crate) struct Lived {
    pub(crate) past: Past,
    /// What was announced before each act.
    pub(crate) spans: Vec<Span>,
    /// The acts that make something durable, and whether it is a directory.
    pub(crate) syncs: Vec<(usize, bool)>,
    /// The first act at which the disk failed.
    pub(crate) faulted: Option<usize>,
    /// How the disk failed.
    pub(crate) injection: Option<Injection>,
}

/// A sync that a write past the page cache brings with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnSync {
    pub(super) ino: Ino,
    pub(super) data_only: bool,
    /// The number of acts after it.
    pub(super) acts: usize,
}

/// What an operation comes to.
pub(super) type Done<T> = Result<T, Errno>;

/// A file system in use.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) past: Past,
    pub(super) marks: Marks,
    /// The names of each node that has some.
    places: HashMap<Ino, Vec<Place>>,
    /// Nodes without a name that may still be open.
    nameless: HashMap<Ino, Node>,
    clock: Clock,
    written: u64,
    syncs: Vec<(usize, bool)>,
    /// Why the run is of no use.
    refused: Option<io::Error>,
    /// The disk fails.
    pub(super) injection: Option<Injection>,
    /// The first act at which it failed.
    pub(super) faulted: Option<usize>,
    /// The last sync that came with a write.
    pub(super) own_sync: Option<OwnSync>,
}

impl Live {
    pub(super) fn new(disk: Disk, marks: Marks, injection: Option<Injection>) -> Self {
        let mut places: HashMap<Ino, Vec<Place>> = HashMap::new();
        let mut dirs = vec![ROOT];
        while let Some(dir) = dirs.pop() {
            let Ok(node) = disk.dir(dir) else { continue };
            for (name, ino) in &node.live {
                let name = Arc::clone(name);
                places.entry(*ino).or_default().push(Place { dir, name });
                if matches!(disk.node(*ino), Node::Dir(_)) {
                    dirs.push(*ino);
                }
            }
        }
        Self {
            past: Past::new(disk),
            marks,
            places,
            nameless: HashMap::new(),
            clock: Clock::start(),
            written: 0,
            syncs: Vec::new(),
            refused: None,
            injection,
            faulted: None,
            own_sync: None,
        }
    }

    /// What was done, and what was announced meanwhile.
    ///
    /// # Errors
    /// If something was done that cannot be told.
    pub(super) fn finish(self) -> io::Result<Lived> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(Lived {
                past: self.past,
                spans: self.marks.spans,
                syncs: self.syncs,
                faulted: self.faulted,
                injection: self.injection,
            }),
        }
    }

    /// Whether it holds as much as it may: the run is to end.
    pub(crate) fn is_full(&self) -> bool {
        self.past.is_full() || self.written > WRITTEN_BYTES_MAX || self.refused.is_some()
    }

    pub(super) fn act(&mut self, act: Act) -> Done<()> {
        let noted = self.marks.note();
        let done = noted.and_then(|()| self.past.act(act));
        done.map_err(|error| {
            let told = self.past.acts().last();
            let reason = format!("the mounted file system cannot do {told:?}: {error}");
            self.refuse(io::Error::other(reason))
        })
    }

    /// Keeps the first reason for which the run is of no use. The program gets an error.
    pub(super) fn refuse(&mut self, error: io::Error) -> Errno {
        self.refused.get_or_insert(error);
        Errno::EIO
    }

    pub(super) fn node(&self, ino: Ino) -> &Node {
        match self.nameless.get(&ino) {
            Some(node) => node,
            None => self.past.disk().node(ino),
        }
    }

    pub(super) fn times(&self, ino: Ino) -> Times {
        let metadata = self.node(ino).metadata().live();
        self.clock
            .of(ino, metadata.and_then(|metadata| metadata.modified))
    }

    /// The number of names; of a directory, with those in it that lead to it.
    pub(super) fn links(&self, ino: Ino) -> usize {
        let named = self.places.get(&ino).map_or(0, Vec::len);
        let Node::Dir(dir) = self.node(ino) else {
            return named;
        };
        let is_dir = |ino: &&Ino| matches!(self.node(**ino), Node::Dir(_));
        let below = dir.live.values().filter(is_dir).count();
        // Its own, and that of a directory which is nowhere is none.
        if named == 0 && ino != ROOT {
            0
        } else {
            2 + below
        }
    }

    /// The first name of a node, from the root on. `None`: it has none any more.
    pub(super) fn path(&self, ino: Ino) -> Option<String> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != ROOT {
            let place = self.places.get(&at)?.first()?;
            names.push(&*place.name);
            at = place.dir;
        }
        names.reverse();
        Some(names.join("/"))
    }

    /// # Errors
    /// If the name is taken for none by a file system, or cannot be told.
    pub(super) fn place(&mut self, dir: Ino, name: &std::ffi::OsStr) -> Done<Place> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if let Some(name) = name.to_str() {
            let name = name.into();
            return Ok(Place { dir, name });
        }
        let reason = format!(
            "{}: power loss on a mounted file system needs names in UTF-8; use `disk`",
            name.display()
        );
        self.refuse(io::Error::new(io::ErrorKind::Unsupported, reason));
        Err(Errno::EILSEQ)
    }

    pub(super) fn find(&self, place: &Place) -> Done<Option<Ino>> {
        if self.nameless.contains_key(&place.dir) {
            return Err(Errno::ENOENT);
        }
        let dir = self.past.disk().dir(place.dir);
        let dir = dir.map_err(|_| Errno::ENOTDIR)?;
        Ok(dir.live.get(&place.name).copied())
    }

    fn path_of(&self, place: &Place) -> Done<String> {
        let dir = self.path(place.dir).ok_or(Errno::ENOENT)?;
        Ok(match &*dir {
            "" => place.name.to_string(),
            dir => format!("{dir}/{}", place.name),
        })
    }

    pub(super) fn create(&mut self, at: Place, kind: Kind, metadata: Metadata) -> Done<Ino> {
        if self.find(&at)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let path = self.path_of(&at)?;
        self.act(Act::Create {
            path,
            kind,
            metadata,
        })?;
        let ino = self.find(&at)?.expect("just made");
        self.clock.made(ino);
        self.clock.modified(at.dir);
        self.places.insert(ino, vec![at]);
        Ok(ino)
    }

    pub(super) fn link(&mut self, ino: Ino, to: Place) -> Done<()> {
        if self.find(&to)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let from = self.path(ino).ok_or(Errno::ENOENT)?;
        let path = self.path_of(&to)?;
        self.act(Act::Link { from, to: path })?;
        self.clock.changed(ino);
        self.clock.modified(to.dir);
        self.places.entry(ino).or_default().push(to);
        Ok(())
    }

    pub(super) fn remove(&mut self, at: &Place, is_dir: bool) -> Done<()> {
        let ino = self.find(at)?.ok_or(Errno::ENOENT)?;
        match self.node(ino) {
            Node::Dir(_) if !is_dir => return Err(Errno::EISDIR),
            Node::Dir(dir) if !dir.live.is_empty() => return Err(Errno::ENOTEMPTY),
            Node::File(_) | Node::Special(_) if is_dir => return Err(Errno::ENOTDIR),
            _ => {}
        }
        let path = self.path_of(at)?;
        self.act(Act::Remove { path })?;
        self.clock.changed(ino);
        self.clock.modified(at.dir);
        self.unname(ino, at);
        Ok(())
    }

    /// A node has lost a name. Without any, it is kept for those that have it open.
    fn unname(&mut self, ino: Ino, place: &Place) {
        let Some(places) = self.places.get_mut(&ino) else {
            return;
        };
        places.retain(|name| name != place);
        if places.is_empty() {
            self.places.remove(&ino);
            let node = self.past.disk().node(ino).clone();
            self.nameless.insert(ino, node);
        }
    }

    /// The kernel knows of a node no more.
    pub(super) fn forget(&mut self, ino: Ino) {
        self.nameless.remove(&ino);
    }

    pub(super) fn rename(&mut self, from: &Place, to: Place, is_new: bool) -> Done<()> {
        let ino = self.find(from)?.ok_or(Errno::ENOENT)?;
        let replaced = self.find(&to)?;
        if replaced.is_some() && is_new {
            return Err(Errno::EEXIST);
        }
        if replaced == Some(ino) {
            return Ok(());
        }
        if let Some(replaced) = replaced
            && let Node::Dir(dir) = self.node(replaced)
            && !dir.live.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        let [from_path, to_path] = [self.path_of(from)?, self.path_of(&to)?];
        self.act(Act::Rename {
            from: from_path,
            to: to_path,
        })?;
        self.clock.changed(ino);
        self.clock.modified(from.dir);
        self.clock.modified(to.dir);
        if let Some(replaced) = replaced {
            self.clock.changed(replaced);
            self.unname(replaced, &to);
        }
        self.moved(ino, from, to);
        Ok(())
    }

    pub(super) fn exchange(&mut self, one: &Place, two: &Place) -> Done<()> {
        let first = self.find(one)?.ok_or(Errno::ENOENT)?;
        let second = self.find(two)?.ok_or(Errno::ENOENT)?;
        if first == second {
            return Ok(());
        }
        let [one_path, two_path] = [self.path_of(one)?, self.path_of(two)?];
        self.act(Act::Exchange {
            one: one_path,
            two: two_path,
        })?;
        self.clock.modified(one.dir);
        self.clock.modified(two.dir);
        self.moved(first, one, two.clone());
        self.moved(second, two, one.clone());
        Ok(())
    }

    fn moved(&mut self, ino: Ino, from: &Place, to: Place) {
        let places = self.places.entry(ino).or_default();
        if let Some(place) = places.iter_mut().find(|place| *place == from) {
            *place = to;
        }
    }

    pub(super) fn read(&self, ino: Ino, offset: u64, size: usize) -> Done<Vec<u8>> {
        let Node::File(file) = self.node(ino) else {
            return Err(Errno::EISDIR);
        };
        let left = file.live.len().saturating_sub(offset);
        let mut bytes = vec![0; size.min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.live.read_at(&mut bytes, offset);
        Ok(bytes)
    }

    pub(super) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Done<()> {
        if offset.saturating_add(bytes.len() as u64) > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        self.clock.modified(ino);
        self.written += bytes.len() as u64;
        if let Some(Node::File(file)) = self.nameless.get_mut(&ino) {
            file.live.write_at(bytes, offset);
            return Ok(());
        }
        let path = self.path(ino).ok_or(Errno::ESTALE)?;
        self.act(Act::Write {
            path,
            offset,
            bytes: Bytes(bytes.into()),
        })
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> Done<()> {
        if len > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        self.clock.modified(ino);
        if let Some(Node::File(file)) = self.nameless.get_mut(&ino) {
            file.live.set_len(len);
            return Ok(());
        }
        let path = self.path(ino).ok_or(Errno::ESTALE)?;
        self.act(Act::SetLen { path, len })
    }

    /// Zeros over a range, up to the end of the file at most.
    pub(super) fn punch(&mut self, ino: Ino, range: Range<u64>) -> Done<()> {
        self.clock.modified(ino);
        if let Some(Node::File(file)) = self.nameless.get_mut(&ino) {
            file.live.punch_hole(range);
            return Ok(());
        }
        let path = self.path(ino).ok_or(Errno::ESTALE)?;
        self.act(Act::Punch {
            path,
            offset: range.start,
            len: range.end - range.start,
        })
    }

    pub(super) fn set(&mut self, ino: Ino, setting: Setting) -> Done<()> {
        self.clock.changed(ino);
        if let Some(node) = self.nameless.get_mut(&ino) {
            setting.apply(node.metadata_mut().live_mut());
            return Ok(());
        }
        let path = self.path(ino).ok_or(Errno::ESTALE)?;
        self.act(Act::Set { path, setting })
    }

    /// Times that a program sets. Only one that it chooses is a change to be kept.
    pub(super) fn set_times(
        &mut self,
        ino: Ino,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
    ) -> Done<()> {
        if let Some(TimeOrNow::SpecificTime(time)) = modified {
            self.set(ino, Setting::Modified(time))?;
        }
        let now = SystemTime::now();
        let time = |set: TimeOrNow| match set {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => now,
        };
        self.clock.set(ino, accessed.map(time), modified.map(time));
        Ok(())
    }

    pub(super) fn sync(&mut self, ino: Ino, data_only: bool) -> Done<()> {
        let Some(path) = self.path(ino) else {
            return Ok(());
        };
        let is_dir = matches!(self.node(ino), Node::Dir(_));
        self.syncs.push((self.past.acts().len(), is_dir));
        self.act(Act::Sync { path, data_only })
    }

    pub(super) fn sync_everything(&mut self) -> Done<()> {
        self.syncs.push((self.past.acts().len(), false));
        self.act(Act::SyncEverything)
    }
}
