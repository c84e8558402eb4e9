//! A file that fills a real disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, statfs};

/// A larger disk is not filled: that would take long, and other programs use it.
const DISK_BYTES_MAX: u64 = 512 << 20;
/// The space is taken in pieces, smaller and smaller ones when the disk has no room for larger ones.
const PIECE_BYTES: i64 = 1 << 20;
const PIECE_BYTES_MIN: i64 = 4 << 10;

/// The file, beside a log on a small disk.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    is_copy_on_write: bool,
}

impl Ballast {
    /// `None` if `dir` lies on a large disk.
    pub(crate) fn on_small_disk(dir: &Path) -> io::Result<Option<Self>> {
        let disk = statfs(dir)?;
        let block = u64::try_from(disk.block_size()).unwrap_or(u64::MAX);
        if disk.blocks().saturating_mul(block) > DISK_BYTES_MAX {
            return Ok(None);
        }
        Ok(Some(Self {
            path: dir.join("ballast"),
            is_copy_on_write: disk.filesystem_type() == BTRFS_SUPER_MAGIC,
        }))
    }

    /// Whether the full disk also refuses to overwrite what was written before.
    pub(crate) fn is_copy_on_write(&self) -> bool {
        self.is_copy_on_write
    }

    /// Takes all the space there is. Nothing needs to be written for that.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            opened => opened?,
        };
        let mut len = i64::try_from(file.metadata()?.len()).expect("a small disk");
        let mut piece = PIECE_BYTES;
        while piece >= PIECE_BYTES_MIN {
            match fallocate(&file, FallocateFlags::empty(), len, piece) {
                Ok(()) => len += piece,
                Err(Errno::EINTR) => {}
                Err(Errno::ENOSPC) => piece /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
