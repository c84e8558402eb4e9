//! A seam for stores that want to run on both: the simulated file system and the real one.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::file::SimFile;
use super::fs::SimFs;
use super::options::OpenOptions;

/// The part of a file system that a store needs. [`SimFs`] and [`OsFs`] have it.
pub trait FileSystem: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// As open(2).
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Box<dyn FileHandle>>;

    /// Creates a directory.
    ///
    /// # Errors
    /// As mkdir(2).
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As opendir(3).
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Renames, over whatever has the name.
    ///
    /// # Errors
    /// As rename(2).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// As link(2).
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// As unlink(2).
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As rmdir(2).
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As open(2) and fsync(2).
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file of a [`FileSystem`].
pub trait FileHandle: Debug + Send + Sync {
    /// Reads at `offset`.
    ///
    /// # Errors
    /// As pread(2).
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`.
    ///
    /// # Errors
    /// As pwrite(2).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// As ftruncate(2).
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// fdatasync.
    ///
    /// # Errors
    /// As fdatasync(2).
    fn sync_data(&self) -> io::Result<()>;

    /// fsync.
    ///
    /// # Errors
    /// As fsync(2).
    fn sync_all(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As fstat(2).
    fn length(&self) -> io::Result<u64>;

    /// Takes the file's lock if it is free.
    ///
    /// # Errors
    /// As flock(2).
    fn try_lock(&self) -> io::Result<bool>;
}

impl FileSystem for SimFs {
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Box<dyn FileHandle>> {
        Ok(Box::new(Self::open(self, path, options)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Self::create_dir(self, path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        Self::read_dir(self, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Self::rename(self, from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Self::hard_link(self, from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Self::remove_file(self, path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Self::remove_dir(self, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Self::sync_dir(self, path)
    }
}

impl FileHandle for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        Self::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Self::write_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn length(&self) -> io::Result<u64> {
        self.len()
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(Self::try_lock(self))
    }
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

impl FileSystem for OsFs {
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Box<dyn FileHandle>> {
        let file = fs::OpenOptions::new()
            .read(options.read)
            .write(options.write)
            .append(options.append)
            .truncate(options.truncate)
            .create(options.create)
            .create_new(options.create_new)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry?.file_name().into_string().map_err(|name| {
                let name = name.display();
                io::Error::new(io::ErrorKind::InvalidData, format!("{name}: not UTF-8"))
            })
        };
        let mut names: Vec<String> = fs::read_dir(path)?.map(name).collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Not a file by mistake: that sync would be another one.
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_DIRECTORY.bits());
        options.open(path)?.sync_all()
    }
}

impl FileHandle for fs::File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match Self::try_lock(self) {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
