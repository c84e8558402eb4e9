//! Directories created so that their names survive a crash.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::storage::{Storage, StorageDir};
use crate::sync::Arc;

/// Opens a directory; creates it and its missing ancestors first.
///
/// When it returns `Ok`, every name it created survives a crash. So does the name of the first
/// directory that was there already, the log's own or an ancestor's, where its parent can be synced:
/// a process that was killed may have created that directory and never synced its name.
///
/// # Errors
/// An I/O error that names the directory and the operation.
pub(crate) fn create_dirs(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn StorageDir>> {
    let path = &std::path::absolute(path).map_err(|error| Error::io("resolve", path, error))?;
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut ancestors = path.ancestors();
    let (mut dir, existing) = loop {
        let ancestor = ancestors.next().unwrap_or(Path::new("/"));
        match storage.open_dir(ancestor) {
            Ok(dir) => break (dir, ancestor),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Some(name) = ancestor.file_name() else {
                    return Err(Error::io("open", ancestor, error));
                };
                missing.push(name);
            }
            Err(error) => return Err(Error::io("open", ancestor, error)),
        }
    };
    sync_name_of(storage, existing)?;
    let mut path = existing.to_owned();
    for name in missing.into_iter().rev() {
        path.push(name);
        dir = create_in(&*dir, &path, name)?;
    }
    Ok(dir)
}

/// Creates one directory, makes its name durable and opens it.
fn create_in(parent: &dyn StorageDir, path: &Path, name: &OsStr) -> Result<Arc<dyn StorageDir>> {
    let at = |operation, path: &Path, error| Error::io(operation, path, error);
    let name = name.to_str().ok_or_else(|| {
        let invalid = io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name of a directory to be created must be UTF-8",
        );
        at("create", path, invalid)
    })?;
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(at("create", path, error));
        }
        _ => {}
    }
    parent
        .sync()
        .map_err(|error| at("sync the directory", parent.path(), error))?;
    parent
        .open_dir(name)
        .map_err(|error| at("open", path, error))
}

/// Makes the name of an existing directory durable, where that can be done.
fn sync_name_of(storage: &dyn Storage, path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    match storage.open_dir(parent).and_then(|dir| dir.sync()) {
        // A process that may not open the parent did not create a directory in it either. And where
        // directories cannot be synced, as on sysfs, squashfs and some FUSE file systems, the name was
        // not given by a log.
        Err(error)
            if ![
                io::ErrorKind::PermissionDenied,
                io::ErrorKind::InvalidInput,
                io::ErrorKind::Unsupported,
            ]
            .contains(&error.kind()) =>
        {
            Err(Error::io("sync the directory", parent, error))
        }
        _ => Ok(()),
    }
}
