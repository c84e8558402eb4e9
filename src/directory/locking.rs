//! The locks of the directory's files.

use std::io;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::segment::Segment;
use crate::storage::StorageFile;
use crate::sync::Arc;

/// How long to wait for the I/O of a process that died: `io_uring` requests outlive it and keep its
/// files open (35-115 ms were measured).
const DYING_IO_WAIT_MS: u32 = 10_000;

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
pub(super) fn take_lock(file: &dyn StorageFile, path: &std::path::Path) -> Result<()> {
    let locked = lock_within(file, DYING_IO_WAIT_MS);
    if locked.map_err(|error| Error::io("lock", path, error))? {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Error::new(Kind::Locked { path }))
}

/// Takes a lock that may be about to become free, and tells whether it did.
pub(super) fn lock_within(file: &dyn StorageFile, wait_ms: u32) -> io::Result<bool> {
    for _ in 0..wait_ms {
        if file.try_lock()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    file.try_lock()
}
