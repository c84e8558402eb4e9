//! What a program writes outside of its directory, or in it without a name, and then gives a name there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::image::{Image, Mirror};
use crate::trace::{Call, Durability, Kind};
use crate::tree::Identity;

/// Files elsewhere that were written and not synced since. A call counts from its beginning on. Which bytes
/// an earlier sync had made durable is not known: one that was written again counts as never synced.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    unsynced: BTreeSet<Identity>,
}

/// A file or a directory that came from elsewhere. Of a directory, the names in it are taken to be durable:
/// syncs of directories elsewhere are not followed.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The name that it got.
    pub(crate) name: PathBuf,
    /// The first names of those files whose bytes no sync had made durable.
    pub(crate) unsynced: Vec<PathBuf>,
}

impl Elsewhere {
    /// A call on a file elsewhere is about to be made.
    pub(super) fn begun(&mut self, kind: Kind, file: Identity, syncs: Option<Durability>) {
        match (kind, syncs) {
            (Kind::Sync, Some(_)) => drop(self.unsynced.remove(&file)),
            (Kind::Write | Kind::Copy | Kind::Resize | Kind::Allocate | Kind::Map, None) => {
                self.unsynced.insert(file);
            }
            _ => {}
        }
    }

    /// A call on the directory, or on all of its file system, has succeeded.
    pub(super) fn done(&mut self, call: &Call, mirror: &Mirror) {
        if call.syncs() == Some(Durability::FileSystem) {
            self.unsynced.clear();
        }
        // One that was made in the directory without a name (`O_TMPFILE`).
        if let Some(file) = call.file().filter(|file| mirror.name(*file).is_none()) {
            self.begun(call.kind(), file, call.syncs());
        }
    }

    /// What a call has brought into a directory that was like `before`. Not a file that the directory had
    /// already by another name.
    pub(super) fn arrival(&self, call: &Call, before: &Image, mirror: &Mirror) -> Option<Arrival> {
        let (Kind::Rename | Kind::Link, [from, to]) = (call.kind(), call.paths()) else {
            return None;
        };
        if before.entry(from).is_some() || to.is_absolute() {
            return None;
        }
        let files = mirror.files_under(to)?;
        let unsynced = |(file, name): (Identity, PathBuf)| {
            let is_unsynced = self.unsynced.contains(&file);
            is_unsynced.then_some(name)
        };
        Some(Arrival {
            name: to.clone(),
            unsynced: files.into_iter().filter_map(unsynced).collect(),
        })
    }
}
