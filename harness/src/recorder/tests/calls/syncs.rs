//! The syncs of a random program, and the renames that only `renameat2` does.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

/// The number of ways.
pub(super) const WAYS: u64 = 8;

/// Syncs a file, a directory or everything.
pub(super) fn sync(way: u64, file: &File, dir: &Path) -> io::Result<()> {
    match way {
        0 | 1 => file.sync_all(),
        2 | 3 => file.sync_data(),
        4..7 => File::open(dir)?.sync_all(),
        _ => Ok(rustix::fs::syncfs(file)?),
    }
}

/// Two names change places, or one moves to where nothing is.
pub(super) fn rename(exchange: bool, from: &Path, to: &Path) -> io::Result<()> {
    let flags = if exchange {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NOREPLACE
    };
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
}
