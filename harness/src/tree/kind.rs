//! What stands under a name.

use std::fmt;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a name leads to. A file's bytes are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Dir,
    File,
    /// A symbolic link, and where it points.
    Symlink(PathBuf),
    Fifo,
    Socket,
    Device {
        /// It is a character device, not a block device.
        character: bool,
        /// Major and minor number, as stat(2) has them.
        number: u64,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir => f.write_str("directory"),
            Self::File => f.write_str("file"),
            Self::Symlink(target) => write!(f, "symbolic link to {}:", target.display()),
            Self::Fifo => f.write_str("FIFO"),
            Self::Socket => f.write_str("socket"),
            Self::Device { .. } => f.write_str("device"),
        }
    }
}

impl Kind {
    /// Of what lstat(2) told of a path.
    pub(super) fn read(path: &Path, stat: &fs::Metadata) -> io::Result<Self> {
        let kind: FileType = stat.file_type();
        if kind.is_symlink() {
            return Ok(Self::Symlink(fs::read_link(path)?));
        }
        Ok(if kind.is_dir() {
            Self::Dir
        } else if kind.is_file() {
            Self::File
        } else if kind.is_fifo() {
            Self::Fifo
        } else if kind.is_socket() {
            Self::Socket
        } else {
            Self::Device {
                character: kind.is_char_device(),
                number: stat.rdev(),
            }
        })
    }
}
