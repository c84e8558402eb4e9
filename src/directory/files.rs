//! The directory's files and names: segments found, named and checked, and spare files.

use std::io;
use std::path::PathBuf;

use super::locking::take_lock;
use crate::error::{Error, Kind, Result};
use crate::names::{LOCK_NAME, Listing, segment_name, spare_name};
use crate::segment::{Segment, SegmentHeader};
use crate::shelf::Shelf;
use crate::spare::Spare;
use crate::storage::{FileIdentity, Storage, StorageDir};
use crate::sync::{Arc, Mutex, lock};

#[derive(Default)]
pub(super) struct Spares {
    pub(super) free: Vec<Spare>,
    pub(super) next_number: u64,
    /// The disk is full: the next segment needs a file that is there already.
    pub(super) is_needed: bool,
}

/// Why a segment could not be prepared.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing has changed under a final name; it may be tried again.
    Unchanged(Error),
    /// It has its final name, and it is not known whether that is durable.
    NameUnknown(Error),
}

/// The directory's files and names.
///
/// Also for work in the background, which must not keep the directory locked when the log is gone:
/// it has this, and changes names only [`while_owned`](Self::while_owned).
pub(crate) struct Files {
    /// As it was when the log was opened, for messages.
    pub(crate) path: PathBuf,
    pub(super) dir: Arc<dyn StorageDir>,
    storage: Arc<dyn Storage>,
    /// The file that has the lock.
    lock: FileIdentity,
    shelf: Arc<Shelf>,
    pub(super) spares: Mutex<Spares>,
    pub(super) spares_max: usize,
    owned: Mutex<bool>,
}

impl Files {
    /// Those of a directory whose LOCK, the file with this identity, this process has locked.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        dir: Arc<dyn StorageDir>,
        lock: FileIdentity,
        spares_max: usize,
    ) -> Self {
        Self {
            path: dir.path().to_owned(),
            shelf: Arc::new(Shelf::new(Arc::clone(&dir))),
            dir,
            storage,
            lock,
            spares: Mutex::default(),
            spares_max,
            owned: Mutex::new(true),
        }
    }

    /// The directory is about to become another owner's. Waits for a change of names that is under
    /// way.
    pub(super) fn disown(&self) {
        *lock(&self.owned) = false;
    }

    /// Does something to names for work in the background, unless the directory is not ours any
    /// more.
    pub(crate) fn while_owned<R>(&self, change: impl FnOnce() -> R) -> Option<R> {
        let owned = lock(&self.owned);
        owned.then(change)
    }

    /// Whether the directory is still ours, for a moment at least.
    pub(crate) fn is_owned(&self) -> bool {
        *lock(&self.owned)
    }

    pub(crate) fn list(&self) -> Result<Listing> {
        Listing::read(&*self.dir)
    }

    /// Whether LOCK is still the file that this process has locked.
    ///
    /// # Errors
    /// [`Error::is_displaced`] if it is not.
    pub(super) fn check_lock(&self) -> Result<()> {
        let path = self.path.join(LOCK_NAME);
        match self.dir.identity(LOCK_NAME) {
            Ok(found) if found == self.lock => Ok(()),
            Ok(_) => Err(Error::displaced(
                path,
                "another file has its name: another log may have begun in the directory",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::displaced(
                path,
                "it has no name any more: the directory, or what was in it, has been removed",
            )),
            Err(error) => Err(Error::io("look at", &path, error)),
        }
    }

    /// Whether a name is free: no segment is ever renamed over another one.
    fn check_free(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match self.dir.identity(name) {
            Ok(_) => Err(Error::displaced(
                path,
                "a file has the name of the log's next segment",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("look at", &path, error)),
        }
    }

    /// Whether the log still has its directory, and this segment its name in it. Entries of a segment
    /// without a name would be gone with the process.
    ///
    /// # Errors
    /// [`Error::is_displaced`] if not.
    pub(crate) fn check(&self, segment: &Segment) -> Result<()> {
        self.check_lock()?;
        match self.names(segment)? {
            Named::Same => Ok(()),
            Named::Other => Err(Error::displaced(
                segment.path.clone(),
                "another file has the segment's name",
            )),
            Named::Nothing => Err(Error::displaced(
                segment.path.clone(),
                "the segment has no name any more: it has been removed",
            )),
        }
    }

    /// What stands under a segment's name.
    pub(super) fn names(&self, segment: &Segment) -> Result<Named> {
        let at = |error| Error::io("look at", &segment.path, error);
        match self.dir.identity(&segment_name(segment.id())) {
            Ok(found) if found == segment.file.identity().map_err(at)? => Ok(Named::Same),
            Ok(_) => Ok(Named::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Named::Nothing),
            Err(error) => Err(at(error)),
        }
    }

    /// Checks a segment, once no group is written to it any more. It rests until it is [woken](super::wake).
    pub(crate) fn find_segment(&self, segment_id: u64) -> Result<Segment> {
        let path = self.segment_path(segment_id);
        let file = self
            .dir
            .open(&segment_name(segment_id))
            .map_err(|error| Error::io("open", &path, error))?;
        take_lock(&*file, &path)?;
        let mut segment = Segment::open(path, file.into(), segment_id)?;
        segment.rest(&self.shelf);
        Ok(segment)
    }

    /// Where the files of segments rest that are not written any more.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Random bytes from the storage.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.storage
            .fill_random(&mut bytes)
            .map_err(|error| Error::io("draw entropy for", &self.path, error))?;
        Ok(bytes)
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.dir
            .sync()
            .map_err(|error| Error::io("sync", &self.path, error))
    }

    /// The next trim is to keep a file for the next segment, even if none are kept otherwise.
    pub(crate) fn need_spare(&self) {
        lock(&self.spares).is_needed = true;
    }

    /// A recycled file of the right length, or a new one, empty; and how much of it is filled.
    pub(crate) fn take_spare(&self, segment_bytes: u64) -> Result<(Spare, u64)> {
        loop {
            let (recycled, number) = {
                let mut spares = lock(&self.spares);
                let recycled = spares.free.pop();
                spares.is_needed &= recycled.is_none();
                spares.next_number += u64::from(recycled.is_none());
                (recycled, spares.next_number)
            };
            match recycled {
                Some(spare) if spare.file.length().is_ok_and(|len| len == segment_bytes) => {
                    return Ok((spare, segment_bytes));
                }
                Some(spare) => self.discard(&spare),
                None => return Ok((self.create_spare(number)?, 0)),
            }
        }
    }

    fn create_spare(&self, number: u64) -> Result<Spare> {
        self.check_lock()?;
        let name = spare_name(number);
        let path = self.path.join(&name);
        let file = self
            .dir
            .create(&name)
            .map_err(|error| Error::io("create", &path, error))?;
        let spare = Spare { name, path, file };
        let locked = spare
            .file
            .try_lock()
            .map_err(|error| Error::io("lock", &spare.path, error))
            .and_then(|locked| {
                let path = spare.path.clone();
                locked
                    .then_some(())
                    .ok_or(Error::new(Kind::Locked { path }))
            });
        locked.inspect_err(|_| self.discard(&spare))?;
        Ok(spare)
    }

    /// Removes a spare whose content means nothing. If that fails, or the directory is not the log's
    /// any more, the next open removes it.
    pub(crate) fn discard(&self, spare: &Spare) {
        let removed = self.check_lock().and_then(|()| {
            let removed = self.dir.remove(&spare.name);
            removed.map_err(|error| Error::io("remove", &spare.path, error))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove a spare segment");
        }
    }

    /// Gives a spare its final name and makes that durable.
    pub(crate) fn name(
        &self,
        spare: Spare,
        header: SegmentHeader,
    ) -> Result<Segment, PrepareError> {
        let name = segment_name(header.segment_id);
        self.check_lock()
            .and_then(|()| self.check_free(&name))
            .map_err(PrepareError::Unchanged)?;
        self.dir
            .rename(&spare.name, &name)
            .map_err(|error| Error::io("rename", &spare.path, error))
            .inspect_err(|_| self.discard(&spare))
            .map_err(PrepareError::Unchanged)?;
        self.sync().map_err(PrepareError::NameUnknown)?;
        Ok(Segment {
            header,
            path: self.segment_path(header.segment_id),
            file: spare.file.into(),
        })
    }

    fn segment_path(&self, segment_id: u64) -> PathBuf {
        self.path.join(segment_name(segment_id))
    }
}

/// What stands under a segment's name.
pub(super) enum Named {
    Same,
    Other,
    Nothing,
}
