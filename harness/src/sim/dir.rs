//! An open directory.

use std::fmt;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::file::SimFile;
use super::nodes::Ino;
use super::options::OpenOptions;
use super::path::Target;
use super::record::Call;
use super::state::Core;

/// An open directory, as openat(2) and its relatives use one: what is done in it goes by the directory
/// itself, wherever it has been moved to. Recordings show the path with which it was opened.
#[derive(Clone)]
pub struct SimDir {
    core: Core,
    ino: Ino,
    path: PathBuf,
}

impl fmt::Debug for SimDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDir")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SimDir {
    pub(super) fn new(core: Core, ino: Ino, path: &Path) -> Self {
        let path = path.to_owned();
        Self { core, ino, path }
    }

    fn at<'a>(&'a self, name: &'a str) -> Target<'a> {
        Target {
            base: self.ino,
            path: Path::new(name),
            base_path: Some(&self.path),
        }
    }

    /// The path with which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file in it.
    ///
    /// # Errors
    /// As openat(2).
    pub fn open(&self, name: &str, options: &OpenOptions) -> io::Result<SimFile> {
        let ino = self.core.lock().open(self.at(name), options)?;
        Ok(SimFile::new(self.core.clone(), ino, options))
    }

    /// Opens a directory in it.
    ///
    /// # Errors
    /// As openat(2) with `O_DIRECTORY`.
    pub fn open_dir(&self, name: &str) -> io::Result<Self> {
        let ino = self.core.lock().find_dir(self.at(name))?;
        Ok(Self::new(self.core.clone(), ino, &self.path.join(name)))
    }

    /// Creates a directory in it.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn create_dir(&self, name: &str) -> io::Result<()> {
        self.core.lock().create_dir(self.at(name))
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// As fdopendir(3).
    pub fn names(&self) -> io::Result<Vec<String>> {
        self.core.lock().read_dir(self.at(""))
    }

    /// Renames within it, over whatever has the name.
    ///
    /// # Errors
    /// As renameat(2).
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.core.lock().rename(self.at(from), self.at(to))
    }

    /// Removes a file's name. Open handles go on working.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        self.core.lock().remove(self.at(name), false)
    }

    /// Removes an empty directory in it.
    ///
    /// # Errors
    /// As unlinkat(2) with `AT_REMOVEDIR`.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.core.lock().remove(self.at(name), true)
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// As fsync(2).
    #[track_caller]
    pub fn sync(&self) -> io::Result<()> {
        let place = Location::caller();
        self.core.lock().sync(self.ino, Call::SyncDir, place)
    }

    /// The number of the file with this name; [`SimFile::inode`] of the same file is the same.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn inode(&self, name: &str) -> io::Result<u64> {
        let ino = self.core.lock().disk.lookup(self.at(name))?;
        Ok(ino as u64)
    }
}
