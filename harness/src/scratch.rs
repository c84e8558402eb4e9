//! Working directories that are cleaned up even after a crash of ours.
//!
//! Each run makes one directory and holds a lock in it. A run that dies leaves directory and files
//! but not the lock, so the next run knows what is nobody's any more.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{Statfs, TMPFS_MAGIC, statfs};

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
    ///
    /// # Errors
    /// If that cannot be; the error names the directory and says what to do.
    pub(crate) fn create(base: &Path) -> io::Result<Self> {
        Self::make(base).map_err(|error| {
            let reason = format!(
                "{}: no directory for stores can be made there: {error}; name another place with --dir, or with \
                 the environment variable TMPDIR",
                base.display()
            );
            io::Error::new(error.kind(), reason)
        })
    }

    fn make(base: &Path) -> io::Result<Self> {
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

/// Whether a path is that of a run's directory, by its name.
pub(crate) fn is_of_run(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(PREFIX)
}

/// Removes the directories of this user's runs that are no more. What cannot be removed now, as
/// something is still mounted there, is left to a later run.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let of_runs = entries.filter(|entry| is_of_run(&entry.path()));
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

/// The least that a directory in memory must have free to be of use. A container may have very little.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// The directory in memory, for stores that are copied at every step.
///
/// # Errors
/// If there is none, or it is of no use; and why.
pub(crate) fn memory_dir() -> Result<PathBuf, String> {
    let dir = PathBuf::from("/dev/shm");
    let found = statfs(&dir).map_err(|error| error.to_string())?;
    if found.filesystem_type() != TMPFS_MAGIC {
        return Err("it is no tmpfs".to_owned());
    }
    let free = room(&found);
    if free < MEMORY_BYTES_MIN {
        return Err(format!("it has only {} KiB free", free >> 10));
    }
    match tempfile::tempfile_in(&dir) {
        Ok(_) => Ok(dir),
        Err(error) => Err(format!("it cannot be written: {error}")),
    }
}

/// The bytes that an ordinary user may still write.
fn room(found: &Statfs) -> u64 {
    found.blocks_available() * u64::try_from(found.block_size()).unwrap_or(0)
}

/// How much can still be written in a directory: bytes and files. Some file systems do not count files.
pub(crate) fn room_in(dir: &Path) -> io::Result<(u64, Option<u64>)> {
    let found = statfs(dir)?;
    let files = (found.files() > 0).then(|| found.files_free());
    Ok((room(&found), files))
}
