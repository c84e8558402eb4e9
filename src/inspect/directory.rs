//! What a log's directory says without its segments: whether the log is in use, and what was here
//! once.

use std::io;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::lock_file::{Evidence, Mark};
use crate::names::{LOCK_NAME, Listing, segment_name};
use crate::storage::StorageDir;

/// How often a log's files may change between the look at their names and the opening of them. Each
/// time its owner has trimmed meanwhile.
pub(crate) const ATTEMPTS_MAX: u32 = 100;

/// Whether the log's owner holds its lock.
pub(crate) fn is_in_use(dir: &dyn StorageDir) -> Result<Option<bool>> {
    match is_locked(dir, LOCK_NAME)? {
        Held::Known(held) => Ok(held),
        // It may have lost its name. The owner also has the lock of the segment that it writes.
        Held::NoFile => {
            let Some(newest) = Listing::read(dir)?.segment_ids.pop() else {
                return Ok(Some(false));
            };
            match is_locked(dir, &segment_name(newest))? {
                Held::Known(held) => Ok(held),
                // It was there a moment ago.
                Held::NoFile => Ok(None),
            }
        }
    }
}

enum Held {
    /// `None` if that cannot be known here.
    Known(Option<bool>),
    NoFile,
}

fn is_locked(dir: &dyn StorageDir, name: &str) -> Result<Held> {
    match dir.open_read_only(name) {
        Ok(file) => Ok(Held::Known(file.is_locked())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::NoFile),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Held::Known(None)),
        Err(error) => Err(Error::io("open", &dir.path().join(name), error)),
    }
}

/// What LOCK says of the log, as far as it can be read.
pub(crate) fn evidence(dir: &dyn StorageDir) -> Result<Evidence> {
    let path = dir.path().join(LOCK_NAME);
    match dir.open_read_only(LOCK_NAME) {
        Ok(file) => Evidence::read(&*file, &path),
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied]
                .contains(&error.kind()) =>
        {
            Ok(Evidence::default())
        }
        Err(error) => Err(Error::io("open", &path, error)),
    }
}

/// The segments that there were at one moment. Names that are read while they change may be any mixture
/// of old and new ones: a segment may be missing without the one that says that it was trimmed. Read
/// twice alike, they are no mixture.
pub(crate) fn segment_ids(dir: &dyn StorageDir) -> Result<Vec<u64>> {
    let mut ids = Listing::read(dir)?.segment_ids;
    for _ in 0..ATTEMPTS_MAX {
        let again = Listing::read(dir)?.segment_ids;
        if again == ids {
            break;
        }
        ids = again;
    }
    Ok(ids)
}

/// Why a directory without a segment cannot be read.
pub(crate) fn nothing_there(path: &Path, evidence: &Evidence) -> Error {
    if evidence.mark == Mark::Absent {
        let detail = "there is no log in it: no file is named like a segment";
        let none = io::Error::new(io::ErrorKind::NotFound, detail);
        return Error::io("read", path, none);
    }
    let detail = "LOCK says that there was a log, and there is no segment";
    let detail = match &evidence.closed {
        Some(closed) => format!(
            "{detail}. Every entry below {} was durable when the log was closed",
            closed.next_seq
        ),
        None => detail.to_owned(),
    };
    let path = path.to_owned();
    Error::new(Kind::Missing { path, detail })
}
