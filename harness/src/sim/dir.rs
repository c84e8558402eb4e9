//! An open directory.

use std::borrow::Cow;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::disk::{Ino, ROOT};
use super::file::{OpenOptions, SimFile};
use super::fs::SimFs;
use super::record::Call;

/// A path that begins in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) base: Ino,
    pub(super) path: &'a Path,
    /// What the directory was called when it was opened.
    base_path: Option<&'a Path>,
}

impl<'a> Target<'a> {
    /// A path from the root on.
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            base: ROOT,
            path,
            base_path: None,
        }
    }

    /// The path as recordings show it.
    pub(super) fn shown(&self) -> Cow<'a, Path> {
        match self.base_path {
            Some(base) => Cow::Owned(base.join(self.path)),
            None => Cow::Borrowed(self.path),
        }
    }
}

/// An open directory, as openat(2) and its relatives use one: what is done in it goes by the directory
/// itself, wherever it has been moved to. Recordings show the path with which it was opened.
#[derive(Clone, Debug)]
pub struct SimDir {
    fs: SimFs,
    ino: Ino,
    path: PathBuf,
}

impl SimDir {
    pub(super) fn new(fs: SimFs, ino: Ino, path: &Path) -> Self {
        let path = path.to_owned();
        Self { fs, ino, path }
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
        self.fs.open_at(self.at(name), options)
    }

    /// Opens a directory in it.
    ///
    /// # Errors
    /// As openat(2) with `O_DIRECTORY`.
    pub fn open_dir(&self, name: &str) -> io::Result<Self> {
        let ino = self.fs.find_dir(self.at(name))?;
        Ok(Self::new(self.fs.clone(), ino, &self.path.join(name)))
    }

    /// Creates a directory in it.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn create_dir(&self, name: &str) -> io::Result<()> {
        self.fs.create_dir_at(self.at(name))
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// As fdopendir(3).
    pub fn names(&self) -> io::Result<Vec<String>> {
        self.fs.read_dir_at(self.at(""))
    }

    /// Renames within it, over whatever has the name.
    ///
    /// # Errors
    /// As renameat(2).
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.rename_at(self.at(from), self.at(to))
    }

    /// Removes a file's name. Open handles go on working.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        self.fs.remove_at(self.at(name), false)
    }

    /// Removes an empty directory in it.
    ///
    /// # Errors
    /// As unlinkat(2) with `AT_REMOVEDIR`.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.fs.remove_at(self.at(name), true)
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// As fsync(2).
    #[track_caller]
    pub fn sync(&self) -> io::Result<()> {
        let place = Location::caller();
        self.fs.lock().sync(self.ino, Call::SyncDir, place)
    }

    /// The number of the file with this name; [`SimFile::inode`] of the same file is the same.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn inode(&self, name: &str) -> io::Result<u64> {
        let ino = self.fs.lock().disk.lookup(self.at(name))?;
        Ok(ino as u64)
    }
}
