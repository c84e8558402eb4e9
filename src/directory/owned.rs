//! The directory of a log that this process owns, and what its LOCK says.

use std::io;
use std::ops::Deref;
use std::path::PathBuf;

use super::files::Files;
use super::locking::lock_within;
use crate::error::{Error, Kind, Result};
use crate::lock_file::{Closed, Evidence, Mark};
use crate::names::LOCK_NAME;
use crate::storage::{Storage, StorageDir, StorageFile};
use crate::sync::Arc;

/// How long to wait for a lock whose owner has gone: a program that it was just starting has its
/// descriptors between fork and exec, for less than a millisecond unless the machine is very busy.
const STARTING_PROGRAM_WAIT_MS: u32 = 250;

/// A directory that this process owns for as long as this lives.
pub(crate) struct Directory {
    files: Arc<Files>,
    lock: Arc<dyn StorageFile>,
}

impl Directory {
    /// Locks the directory.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        dir: Arc<dyn StorageDir>,
        spares_max: usize,
    ) -> Result<Self> {
        let lock_path = dir.path().join(LOCK_NAME);
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
            files: Arc::new(Files::new(storage, dir, identity, spares_max)),
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
        self.files.disown();
        // Nothing is in flight: a request would hold the log, and the log this. A program that is
        // being started has a copy of the descriptor, so closing ours would not be enough.
        self.lock.unlock();
    }
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
