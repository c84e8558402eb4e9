//! A file on a dying disk.

use std::collections::BTreeSet;
use std::io;

use crate::shelf::File;
use crate::storage::{FileIdentity, StorageFile};
use crate::sync::{Mutex, lock};

const SECTOR_BYTES: usize = 512;

/// Reads what can be read: a sector that the disk does not give back is zeros, and counted.
pub(super) struct Tolerant {
    inner: File,
    unreadable: Mutex<BTreeSet<u64>>,
}

impl Tolerant {
    pub(super) fn new(inner: File) -> Self {
        let unreadable = Mutex::default();
        Self { inner, unreadable }
    }

    pub(super) fn unreadable_bytes(&self) -> u64 {
        lock(&self.unreadable).len() as u64 * SECTOR_BYTES as u64
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl StorageFile for Tolerant {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        // That it cannot be opened says nothing about its bytes.
        let inner = self.inner.awake()?;
        match inner.read_at(bytes, offset) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
            done => return done,
        }
        // Up to the end of the sector, so that the next read begins on one.
        let within = usize::try_from(offset % SECTOR_BYTES as u64).expect("less than a sector");
        let len = bytes.len().min(SECTOR_BYTES - within);
        match inner.read_at(&mut bytes[..len], offset) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
            done => return done,
        }
        bytes[..len].fill(0);
        lock(&self.unreadable).insert(offset / SECTOR_BYTES as u64);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }

    fn sync_all(&self) -> io::Result<()> {
        read_only()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        read_only()
    }

    fn unlock(&self) {}
}
