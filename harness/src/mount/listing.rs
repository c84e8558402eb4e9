//! The names in directories, as those that have them open read them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{FileHandle, FileType, INodeNo, ReplyDirectory};

use super::convert::{number, type_of};
use super::live::Live;
use crate::sim::{Ino, Node};

/// Names, and what each leads to.
type Names = Vec<(INodeNo, FileType, OsString)>;

/// Directories that are open. One that is read in pieces is read as it was at the first.
#[derive(Debug, Default)]
pub(super) struct Listings {
    opened: AtomicU64,
    names: Mutex<HashMap<u64, Names>>,
}

impl Listings {
    fn names(&self) -> MutexGuard<'_, HashMap<u64, Names>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self) -> FileHandle {
        FileHandle(self.opened.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn close(&self, handle: FileHandle) {
        self.names().remove(&handle.0);
    }

    /// Answers with what comes behind `offset`; with 0, from the beginning, also again.
    pub(super) fn read(
        &self,
        handle: FileHandle,
        offset: u64,
        now: impl FnOnce() -> Names,
        mut reply: ReplyDirectory,
    ) {
        let mut opened = self.names();
        if offset == 0 {
            opened.insert(handle.0, now());
        }
        let names = opened.get(&handle.0).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (number, kind, name)) in names.iter().enumerate().skip(skipped) {
            if reply.add(*number, index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

impl Live {
    /// What is in a directory.
    pub(super) fn names(&self, dir: Ino) -> Names {
        let Node::Dir(node) = self.node(dir) else {
            return Names::new();
        };
        let entry = |(name, ino): (&Arc<str>, &Ino)| {
            let name = OsString::from(&**name);
            (number(*ino), type_of(self.node(*ino)), name)
        };
        let itself = |name: &str| (number(dir), FileType::Directory, OsString::from(name));
        let mut names = vec![itself("."), itself("..")];
        names.extend(node.live.iter().map(entry));
        names
    }
}
