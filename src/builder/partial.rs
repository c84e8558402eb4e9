//! The directory of a log that is being built.

use std::io;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::names::{LOCK_NAME, segment_id};
use crate::storage::{StorageDir, StorageFile};
use crate::sync::Arc;

/// What it is called: the log's own name and this.
const SUFFIX: &str = ".partial";

/// What the directory of the unfinished log is called.
pub(super) fn partial_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// # Errors
/// If there is anything with this name in the directory, or if that cannot be found out.
pub(super) fn refuse_existing(parent: &dyn StorageDir, name: &str) -> Result<()> {
    let names = parent
        .list()
        .map_err(|error| Error::io("list", parent.path(), error))?;
    if names.iter().any(|there| there == name) {
        let path = parent.path().join(name);
        return Err(Error::new(Kind::Exists { path }));
    }
    Ok(())
}

/// Makes the directory that a log is to be built in, or empties the one that a crash has left, and
/// takes its lock.
pub(super) fn occupy(
    parent: &dyn StorageDir,
    name: &str,
) -> Result<(Arc<dyn StorageDir>, Arc<dyn StorageFile>)> {
    let at = |operation, path: &Path, error| Error::io(operation, path, error);
    let path = parent.path().join(name);
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(at("create", &path, error));
        }
        _ => {}
    }
    parent
        .sync()
        .map_err(|error| at("sync", parent.path(), error))?;
    let partial = parent
        .open_dir(name)
        .map_err(|error| at("open", &path, error))?;
    segments_in(&*partial)?;
    let path = path.join(LOCK_NAME);
    let lock = match partial.create(LOCK_NAME) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => partial.open(LOCK_NAME),
        created => created,
    }
    .map_err(|error| at("open", &path, error))?;
    if !lock.try_lock().map_err(|error| at("lock", &path, error))? {
        return Err(Error::new(Kind::Locked { path }));
    }
    remove_segments(&*partial)?;
    Ok((partial, lock))
}

/// The segments of an unfinished log.
///
/// # Errors
/// If there is anything else in its directory: then it is no unfinished log.
fn segments_in(partial: &dyn StorageDir) -> Result<Vec<String>> {
    let mut names = partial
        .list()
        .map_err(|error| Error::io("list", partial.path(), error))?;
    names.retain(|name| name != LOCK_NAME);
    match names.iter().find(|name| segment_id(name).is_none()) {
        Some(other) => {
            let path = partial.path().join(other);
            Err(Error::new(Kind::Exists { path }))
        }
        None => Ok(names),
    }
}

fn remove_segments(partial: &dyn StorageDir) -> Result<()> {
    for name in segments_in(partial)? {
        partial
            .remove(&name)
            .map_err(|error| Error::io("remove", &partial.path().join(name), error))?;
    }
    Ok(())
}

/// Removes an unfinished log. Its lock goes last, so that another builder that finds the directory
/// meanwhile finds it occupied.
pub(super) fn remove_partial(
    parent: &dyn StorageDir,
    partial: &dyn StorageDir,
    name: &str,
) -> Result<()> {
    remove_segments(partial)?;
    let at = |path: &Path, error| Error::io("remove", path, error);
    partial
        .remove(LOCK_NAME)
        .map_err(|error| at(&partial.path().join(LOCK_NAME), error))?;
    parent
        .remove_dir(name)
        .map_err(|error| at(partial.path(), error))
}
