//! Stores that a crash in the middle of their creation leaves in a state in which they never open again.
//!
//! Each of them is a subject as it is, an exhibit. The other subject of such a store creates it as its user can: under
//! another name, and renamed when it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plugpull::SubjectError;

/// The path of the store in this directory; `create` makes it at the path
/// that it is given, a file or a directory.
pub(crate) fn whole<S>(
    dir: &Path,
    name: &str,
    create: impl FnOnce(&Path) -> Result<S, SubjectError>,
) -> Result<PathBuf, SubjectError> {
    let path = dir.join(name);
    if !path.try_exists()? {
        let new = dir.join(format!("{name}.new"));
        remove(&new)?;
        drop(create(&new)?);
        fs::rename(new, &path)?;
    }
    // A process that finds the name does not know whether it is durable.
    fs::File::open(dir)?.sync_all()?;
    Ok(path)
}

/// What an earlier process was killed with.
fn remove(new: &Path) -> io::Result<()> {
    if new.is_dir() {
        fs::remove_dir_all(new)
    } else if new.try_exists()? {
        fs::remove_file(new)
    } else {
        Ok(())
    }
}
