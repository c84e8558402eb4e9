//! What the threads share that serve a file system, and the one that writes mapped pages back.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::live::{Live, Lived};
use crate::disk::write_back;

/// A file system in use, for all threads that have to do with it.
#[derive(Debug)]
pub(crate) struct Shared {
    live: Mutex<Live>,
    /// Files that are mapped, by device and inode, so that stores to them are no requests. Locked before
    /// `live`.
    mapped: Mutex<HashMap<(u64, u64), File>>,
    /// Two for each request that changes something: a sign of life.
    pub(crate) stops: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new(live: Live) -> Self {
        Self {
            live: Mutex::new(live),
            mapped: Mutex::default(),
            stops: Arc::default(),
        }
    }

    /// To look at it.
    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Live) -> T) -> T {
        self.stops.fetch_add(2, Ordering::Relaxed);
        change(&mut self.live())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.live().is_full()
    }

    /// A file that is mapped from now on.
    pub(crate) fn map(&self, file: File) -> io::Result<()> {
        let mut mapped = self.mapped();
        self.live().marks.begin_mapping()?;
        let about = file.metadata()?;
        // A program may map one file, or one that it removes, any number of times: descriptors are few. What
        // is stored to a file without a name is of no use after a crash.
        mapped.retain(|_, file| file.metadata().is_ok_and(|about| about.nlink() > 0));
        mapped.entry((about.dev(), about.ino())).or_insert(file);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn mapped_files(&self) -> usize {
        self.mapped().len()
    }

    fn mapped(&self) -> MutexGuard<'_, HashMap<(u64, u64), File>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_mappings(&self) -> bool {
        self.live().marks.has_mappings()
    }

    /// Has the kernel write back what was stored in mapped files: it arrives as requests before this returns.
    /// Not for a thread that serves them, nor for one that has the descriptor of FUSE: it waits for an
    /// answer, and must not keep the connection open if this process is killed.
    pub(crate) fn write_back(&self) -> io::Result<()> {
        if !self.has_mappings() {
            return Ok(());
        }
        let mapped = self.mapped();
        let before = self.live().marks.now()?;
        for file in mapped.values() {
            write_back(file)?;
        }
        self.live().marks.settle(before);
        Ok(())
    }

    /// A sync of everything, that no request has told of.
    pub(crate) fn sync_everything(&self) {
        // What it cannot do it keeps, for the end.
        self.change(Live::sync_everything).ok();
    }

    /// Lets go of the files that are mapped: what is used is not unmounted.
    pub(crate) fn unmap(&self) {
        self.mapped().clear();
    }

    /// What was done, and what was announced meanwhile.
    ///
    /// # Errors
    /// If something was done that cannot be told.
    pub(super) fn finish(self) -> io::Result<Lived> {
        let live = self.live.into_inner();
        live.unwrap_or_else(PoisonError::into_inner).finish()
    }
}
