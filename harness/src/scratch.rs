//! Working directories that are cleaned up even after a crash of ours.
//!
//! Each run makes one directory and holds a lock in it. A run that dies leaves directory and files
//! but not the lock, so the next run knows what is nobody's any more.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

pub(crate) use crate::tree::copy_dir;

const PREFIX: &str = "plugpull-run-";
const LOCK_NAME: &str = ".plugpull-lock";

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a directory below `base`, and removes what dead runs left there.
    pub(crate) fn create(base: &Path) -> io::Result<Self> {
        fs::create_dir_all(base)?;
        sweep(base);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base)?;
        // It gets its name when it is locked: another run that sweeps meanwhile must not take this
        // directory for a dead run's.
        let unnamed = dir.path().join(".plugpull-lock-new");
        let lock = File::create(&unnamed)?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(&unnamed, dir.path().join(LOCK_NAME))?;
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left, if anything, the next run removes.
        remove_dir(self.dir.path()).ok();
    }
}

/// Removes the directories of this user's runs that are no more. What cannot be removed now, as
/// something is still mounted there, is left to a later run.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let of_runs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let me = geteuid().as_raw();
    for entry in of_runs.filter(|entry| entry.metadata().is_ok_and(|of| of.uid() == me)) {
        // Only what bears our lock file is ours. One without it may be about to be locked: leave
        // it. No other kind of file under that name keeps us waiting.
        let lock = File::options()
            .read(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
            .open(entry.path().join(LOCK_NAME));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            remove_dir(&entry.path()).ok();
        }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Removes a directory if it is there, also one that has directories without permissions in it.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir).or_else(ignore_missing) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir)?;
            fs::remove_dir_all(dir).or_else(ignore_missing)
        }
        removed => removed,
    }
}

/// Gives an ordinary user every permission on its directories that a store has taken away.
fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
