//! Stores that a crash in the middle of their creation leaves in a state in which they never open again.
//!
//! Each of them is a subject as it is, an exhibit. The other subjects of such a store create it as its user can: in a
//! directory of another name, which is renamed when the store is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use plugpull::SubjectError;

/// Why a store that is created under its own name is an exhibit.
pub(crate) const IN_PLACE: &str = "a crash during its creation leaves what never opens again";

/// The directory of the store in this one; `create` makes a store in the directory that it is given.
pub(crate) fn aside(
    dir: &Path,
    create: impl FnOnce(&Path) -> Result<(), SubjectError>,
) -> Result<PathBuf, SubjectError> {
    let (store, new) = (dir.join("store"), dir.join("store.new"));
    if !store.try_exists()? {
        if new.try_exists()? {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir(&new)?;
        create(&new)?;
        File::open(&new)?.sync_all()?;
        fs::rename(new, &store)?;
    }
    // A process that finds the name does not know whether it is durable.
    File::open(dir)?.sync_all()?;
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creation_that_was_interrupted_is_begun_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let interrupted = aside(dir.path(), |new| {
            fs::write(new.join("half"), "")?;
            Err("killed".into())
        });
        assert!(interrupted.is_err());
        let store = aside(dir.path(), |new| Ok(fs::write(new.join("whole"), "")?));
        let store = store.expect("a store");
        assert!(store.join("whole").exists() && !store.join("half").exists());
        let again = aside(dir.path(), |_| Err("it is there already".into()));
        assert_eq!(again.expect("a store"), store);
    }
}
