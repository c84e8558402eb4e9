//! How full a mounted file system is: what the harness's own disk does not hold is no failure of the
//! store.

use std::fmt;
use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::error::at_path;
use super::file_system::FileSystem;
use super::shortage::{Shortage, shortage};

/// A file system with less than one block, or inode, in this number left is full: what a store could not
/// get may have been a large piece, and the last blocks of some file systems are reserved.
const SHARE_LEFT: u64 = 20;

/// What of a file system is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    bytes: u64,
    bytes_free: u64,
    /// 0 for a file system that makes inodes as they are needed.
    inodes: u64,
    inodes_free: u64,
}

impl Room {
    fn of(dir: &Path) -> io::Result<Self> {
        let found = statvfs(dir).map_err(at_path("look how full the file system is at", dir))?;
        Ok(Self {
            bytes: found.blocks() * found.fragment_size(),
            bytes_free: found.blocks_available() * found.fragment_size(),
            inodes: found.files(),
            inodes_free: found.files_free(),
        })
    }

    fn lacks_bytes(&self) -> bool {
        self.bytes_free < self.bytes.div_ceil(SHARE_LEFT)
    }

    fn lacks_inodes(&self) -> bool {
        self.inodes > 0 && self.inodes_free < self.inodes.div_ceil(SHARE_LEFT)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: u64| bytes >> 10;
        let (free, all) = (kib(self.bytes_free), kib(self.bytes));
        write!(f, "{free} of {all} KiB")?;
        if self.inodes > 0 {
            write!(f, " and {} of {} inodes", self.inodes_free, self.inodes)?;
        }
        f.write_str(" are free")
    }
}

/// Why a store that failed on a mounted file system, with these words, could not help it: the file system is
/// full, or the words say so. The error names the option that helps.
pub(crate) fn ran_out(file_system: &FileSystem, dir: &Path, words: &str) -> Option<io::Error> {
    let room = match Room::of(dir) {
        Ok(room) => room,
        // A file system that cannot even be asked is no place to judge a store in.
        Err(error) => return Some(error),
    };
    let said = shortage(words);
    let kind = file_system.kind;
    let larger = larger(file_system);
    let way_out = match said {
        _ if room.lacks_inodes() && !room.lacks_bytes() => {
            match file_system.inodes_option(room.inodes * 16) {
                Some(option) => format!("; give it more inodes: {option}"),
                None => format!("; give it more: {larger}"),
            }
        }
        _ if room.lacks_bytes() => format!("; give it more: {larger}"),
        Some(Shortage::Quota) => "; the quota is set by the mount options or the store".to_owned(),
        Some(_) => format!("; it may have asked for more than was free: {larger}"),
        None => return None,
    };
    let what = said.map_or_else(
        || "the file system is full".to_owned(),
        |said| said.to_string(),
    );
    Some(io::Error::other(format!(
        "not the store's failure: {what}. On the disk of {} MiB that it was given as {kind}, {room}{way_out}. \
         What it said: {words}",
        file_system.bytes >> 20,
    )))
}

/// The option that makes a larger disk.
fn larger(file_system: &FileSystem) -> String {
    format!("`--disk-size {}M`", (file_system.bytes >> 20).max(1) * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_full_a_little_before_its_last_block() {
        let room = Room {
            bytes: 1000,
            bytes_free: 50,
            inodes: 0,
            inodes_free: 0,
        };
        assert!(!room.lacks_bytes() && !room.lacks_inodes());
        let fuller = Room {
            bytes_free: 49,
            inodes: 64,
            inodes_free: 3,
            ..room
        };
        assert!(fuller.lacks_bytes() && fuller.lacks_inodes());
    }
}
