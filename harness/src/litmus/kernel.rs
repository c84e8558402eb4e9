//! Makes the kernel write back what it would have written back some seconds later: the only unsafe
//! code of the litmus tests.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use libc::c_ulong;
use nix::errno::Errno;

use crate::disk::FileSystemKind;

/// `BTRFS_IOC_START_SYNC` and `BTRFS_IOC_WAIT_SYNC`, from `linux/btrfs.h`.
const BTRFS_START_SYNC: c_ulong = 0x8008_9418;
const BTRFS_WAIT_SYNC: c_ulong = 0x4008_9416;

/// Makes a mounted file system commit its metadata, and no file's data: what happens by itself every
/// 5 (ext4) to 30 seconds, before data that is as old must have been written.
pub(super) fn commit(kind: FileSystemKind, root: &Path) -> io::Result<()> {
    if kind == FileSystemKind::Btrfs {
        return btrfs_commit(&File::open(root)?);
    }
    // One journal: a sync of any file commits all of it.
    let path = (0..u32::MAX)
        .map(|number| root.join(format!("commit-{number}")))
        .find(|path| !path.exists());
    let path = path.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::write(&path, [b'c'])?;
    File::open(&path)?.sync_all()
}

#[expect(unsafe_code, reason = "ioctls that nix does not know")]
fn btrfs_commit(root: &File) -> io::Result<()> {
    let mut transaction: u64 = 0;
    // SAFETY: the descriptor is open; the kernel writes one word to the pointer, which `transaction`
    // is, and keeps no pointer to it.
    let started = unsafe {
        libc::ioctl(
            root.as_raw_fd(),
            BTRFS_START_SYNC as _,
            &raw mut transaction,
        )
    };
    Errno::result(started)?;
    // SAFETY: as above; the kernel reads the word.
    let ended = unsafe {
        libc::ioctl(
            root.as_raw_fd(),
            BTRFS_WAIT_SYNC as _,
            &raw const transaction,
        )
    };
    Errno::result(ended)?;
    Ok(())
}

/// Writes back a file's data, and none of its metadata.
#[expect(unsafe_code, reason = "a system call that nix does not know")]
pub(super) fn write_back(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open, and the call takes no pointer.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) };
    Errno::result(done)?;
    Ok(())
}

/// All files below a directory, sorted by path.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
