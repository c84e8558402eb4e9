//! A log's directory: who owns it, and the making, keeping and recycling of segment files.
//!
//! Everything goes through one descriptor of the directory, taken when the log is opened: a log whose
//! directory is renamed goes on there. Before a name is changed, LOCK must still be the file that this
//! process has locked. If it is not, another log is at work under these names, or the directory is
//! gone; the log stops instead of touching what may not be its own. Between that look and the change
//! of a name another process can still come: no file system has a call that does both at once.

mod retire;

use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::lock_file::{Closed, Evidence, Mark};
use crate::names::{LOCK_NAME, Listing, segment_name, spare_name};
use crate::segment::{Segment, SegmentHeader};
use crate::shelf::Shelf;
use crate::spare::Spare;
use crate::storage::{FileIdentity, Storage, StorageDir, StorageFile};
use crate::sync::{Arc, Mutex, lock};

/// How long to wait for the I/O of a process that died: `io_uring` requests outlive it and keep its
/// files open (35-115 ms were measured).
const DYING_IO_WAIT_MS: u32 = 10_000;

/// How long to wait for a lock whose owner has gone: a program that it was just starting has its
/// descriptors between fork and exec, for less than a millisecond unless the machine is very busy.
const STARTING_PROGRAM_WAIT_MS: u32 = 250;

#[derive(Default)]
struct Spares {
    free: Vec<Spare>,
    next_number: u64,
    /// The disk is full: the next segment needs a file that is there already.
    is_needed: bool,
}

/// Why a segment could not be prepared.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing has changed under a final name; it may be tried again.
    Unchanged(Error),
    /// It has its final name, and it is not known whether that is durable.
    NameUnknown(Error),
}

/// A directory that this process owns for as long as this lives.
pub(crate) struct Directory {
    files: Arc<Files>,
    lock: Arc<dyn StorageFile>,
}

/// The directory's files and names.
///
/// Also for work in the background, which must not keep the directory locked when the log is gone:
/// it has this, and changes names only [`while_owned`](Self::while_owned).
pub(crate) struct Files {
    /// As it was when the log was opened, for messages.
    pub(crate) path: PathBuf,
    dir: Arc<dyn StorageDir>,
    storage: Arc<dyn Storage>,
    /// The file that has the lock.
    lock: FileIdentity,
    shelf: Arc<Shelf>,
    spares: Mutex<Spares>,
    spares_max: usize,
    owned: Mutex<bool>,
}

impl Directory {
    /// Locks the directory.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        dir: Arc<dyn StorageDir>,
        spares_max: usize,
    ) -> Result<Self> {
        let path = dir.path().to_owned();
        let lock_path = path.join(LOCK_NAME);
        let at = |operation, error| Error::io(operation, &lock_path, error);
        let (lock, identity) = loop {
            let file = open_or_create(&*dir, LOCK_NAME).map_err(|error| at("open", error))?;
            if !lock_within(&*file, STARTING_PROGRAM_WAIT_MS).map_err(|error| at("lock", error))? {
                return Err(Error::new(Kind::Locked { path: lock_path }));
            }
            let identity = file.identity().map_err(|error| at("look at", error))?;
            match dir.identity(LOCK_NAME) {
                Ok(named) if named == identity => break (file, identity),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at("look at", error));
                }
                // It was replaced between the opening and the locking.
                _ => {}
            }
        };
        Ok(Self {
            files: Arc::new(Files {
                path,
                shelf: Arc::new(Shelf::new(Arc::clone(&dir))),
                dir,
                storage,
                lock: identity,
                spares: Mutex::default(),
                spares_max,
                owned: Mutex::new(true),
            }),
            lock,
        })
    }

    /// The files, without the ownership.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join(LOCK_NAME)
    }

    /// What LOCK says of the log.
    pub(crate) fn evidence(&self) -> Result<Evidence> {
        Evidence::read(&*self.lock, &self.lock_path())
    }

    /// Makes LOCK say this, durably.
    pub(crate) fn write_evidence(&self, evidence: &Evidence) -> Result<()> {
        evidence.write(&*self.lock, &self.lock_path())
    }

    /// Says in LOCK how far the log has gone, and tells whether it has written anything: that is durable once
    /// LOCK has been [synced](Self::sync_lock). A LOCK for whose records a full disk had no room stays
    /// without this one.
    pub(crate) fn write_closed(&self, log_id: [u8; 16], closed: Closed) -> Result<bool> {
        let path = self.lock_path();
        let known = self.evidence()?;
        if known.closed == Some(closed) {
            return Ok(false);
        }
        if known.mark == Mark::Log(log_id) {
            match closed.write(log_id, &*self.lock, &path) {
                Err(error) if error.is_disk_full() && !known.is_whole => {}
                written => return written.map(|()| true),
            }
        }
        tracing::warn!(path = %path.display(), "no room to record how far the log went");
        Ok(false)
    }

    /// Makes durable what has been written to LOCK.
    pub(crate) fn sync_lock(&self) -> Result<()> {
        self.lock
            .sync_data()
            .map_err(|error| Error::io("sync", &self.lock_path(), error))
    }
}

impl Deref for Directory {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.files
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Waits for a change of names in the background, if one is under way. After it there is
        // none any more, and the lock may go.
        *lock(&self.files.owned) = false;
        // Nothing is in flight: a request would hold the log, and the log this. A program that is
        // being started has a copy of the descriptor, so closing ours would not be enough.
        self.lock.unlock();
    }
}

impl Files {
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
    fn check_lock(&self) -> Result<()> {
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
    fn names(&self, segment: &Segment) -> Result<Named> {
        let at = |error| Error::io("look at", &segment.path, error);
        match self.dir.identity(&segment_name(segment.id())) {
            Ok(found) if found == segment.file.identity().map_err(at)? => Ok(Named::Same),
            Ok(_) => Ok(Named::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Named::Nothing),
            Err(error) => Err(at(error)),
        }
    }

    /// Checks a segment, once nobody writes to it any more. It rests until it is [woken](wake).
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
enum Named {
    Same,
    Other,
    Nothing,
}

fn open_or_create(dir: &dyn StorageDir, name: &str) -> io::Result<Arc<dyn StorageFile>> {
    match dir.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match dir.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => dir.open(name),
        created => created,
    }
}

/// Opens and locks a segment that is to be written.
pub(crate) fn wake(segment: &Segment) -> Result<Arc<Segment>> {
    let path = segment.path.clone();
    let file = segment
        .file
        .awake()
        .map_err(|error| Error::io("open", &path, error))?;
    take_lock(&*file, &path)?;
    Ok(Arc::new(Segment {
        header: segment.header,
        path,
        file: file.into(),
    }))
}

/// Takes the lock of a segment. The directory's is ours, so the process that holds this one is dead, its
/// last requests excepted.
fn take_lock(file: &dyn StorageFile, path: &std::path::Path) -> Result<()> {
    let locked = lock_within(file, DYING_IO_WAIT_MS);
    if locked.map_err(|error| Error::io("lock", path, error))? {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Error::new(Kind::Locked { path }))
}

/// Takes a lock that may be about to become free, and tells whether it did.
fn lock_within(file: &dyn StorageFile, wait_ms: u32) -> io::Result<bool> {
    for _ in 0..wait_ms {
        if file.try_lock()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::OsStorage;

    /// A piece of work may have begun when there still was a log, and come to the point when the next
    /// owner is at work.
    #[test]
    fn names_are_changed_in_the_background_only_while_the_directory_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let storage = Arc::new(OsStorage);
            let dir = storage.open_dir(dir.path()).unwrap();
            Directory::open(storage, dir, 1).unwrap()
        };
        let directory = open();
        let files = Arc::clone(directory.files());
        assert_eq!(files.while_owned(|| 7), Some(7));
        drop(directory);
        let next = open();
        assert_eq!(files.while_owned(|| 7), None);
        assert!(!files.is_owned() && next.files().is_owned());
    }
}
