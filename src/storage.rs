//! The seam between the log and the outside: files, names, locks and entropy.
//!
//! Everything the log does to a disk goes through [`Storage`] and [`StorageFile`], so that a test
//! can put a simulated disk underneath or decorate the real one with faults. The traits state what
//! an implementation must guarantee *after a crash*; recovery relies on each sentence.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::sync::Arc;

#[cfg(target_os = "linux")]
mod locks;

/// A directory tree on some disk.
pub trait Storage: Send + Sync + 'static {
    /// Creates a directory and its missing ancestors, or finds them.
    ///
    /// When it returns `Ok`, every name it created survives a crash, and so does the directory's
    /// own name even if it was there already: a process killed before may have created it and
    /// never synced it.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The file names in `dir`, in any order, `.` and `..` left out.
    ///
    /// # Errors
    /// As the operating system reports them; a name that cannot be read is an error, never left
    /// out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a file for reading and writing; fails with `AlreadyExists` if the name is taken.
    ///
    /// Neither the file nor its name needs to survive a crash until [`StorageFile::sync_all`] and
    /// [`Storage::sync_dir`] have returned.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading only, as whoever merely looks at a log does. Provided:
    /// [`open`](Self::open).
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.open(path)
    }

    /// Renames a file or a directory, replacing `to` if it exists. Atomic: after a crash there is the old state or
    /// the new one, and which of them is open until [`Storage::sync_dir`] has returned.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Descriptors that are open go on working.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Only a [`Builder`](crate::Builder) asks for it, when it gives up.
    /// Provided: an error.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the names in `dir` durable.
    ///
    /// When it returns `Ok`, every create, rename and remove in `dir` that returned before the call
    /// began survives a crash.
    ///
    /// # Errors
    /// As the operating system reports them. After an error nothing is known about those names.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Fills `bytes` with entropy. A simulation draws it from its seed.
    ///
    /// # Errors
    /// If there is no source of entropy.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + Sync + 'static {
    /// Reads at `offset`; may return less than asked for, and 0 only at the end of the file.
    ///
    /// # Errors
    /// As the operating system reports them. Bytes that cannot be read are an error, never zeros.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; may write less than asked for.
    ///
    /// Until a sync has returned, a crash may leave any mixture of old and new 512-byte sectors in
    /// the range that was written, and no change anywhere else.
    ///
    /// # Errors
    /// As the operating system reports them. After an error the range may hold any such mixture.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes written bytes durable, with the file's length if it changed.
    ///
    /// When it returns `Ok`, every write that returned before the call began survives a crash: the
    /// data has reached the medium, not only the device's volatile cache.
    ///
    /// # Errors
    /// As the operating system reports them. After an error nothing is known about the bytes
    /// written since the last success, and a later success says nothing about them either.
    fn sync_data(&self) -> io::Result<()>;

    /// [`sync_data`](Self::sync_data), and all of the file's metadata.
    ///
    /// # Errors
    /// As for `sync_data`.
    fn sync_all(&self) -> io::Result<()>;

    /// Length of the file in bytes.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn length(&self) -> io::Result<u64>;

    /// Takes the file's exclusive lock if it is free, and tells whether it did.
    ///
    /// The lock belongs to this open file: it is held until the last descriptor of it is closed,
    /// including those that the kernel keeps for requests still in flight, and a crash of the
    /// process releases it.
    ///
    /// # Errors
    /// As the operating system reports them; a lock held by somebody else is `Ok(false)`.
    fn try_lock(&self) -> io::Result<bool>;

    /// Whether somebody holds the file's exclusive lock, found out without asking for it; `None` if
    /// that cannot be known here, as the provided method says.
    fn is_locked(&self) -> Option<bool> {
        None
    }
}

/// Writes all of `bytes` at `offset`, however many calls it takes.
pub(crate) fn write_all_at(file: &dyn StorageFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset`, however many calls it takes.
pub(crate) fn read_exact_at(
    file: &dyn StorageFile,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The operating system's files. On macOS, syncs are `F_FULLFSYNC`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsStorage;

// The one home of opening files.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the Storage that everything else goes through"
)]
impl Storage for OsStorage {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let absolute = std::path::absolute(dir)?;
        let mut missing: Vec<PathBuf> = Vec::new();
        for ancestor in absolute.ancestors() {
            if ancestor.try_exists()? {
                break;
            }
            missing.push(ancestor.to_owned());
        }
        if missing.is_empty() {
            return match absolute.parent().map(|parent| self.sync_dir(parent)) {
                // Whoever may not open the parent did not create the directory either.
                Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
                _ => Ok(()),
            };
        }
        for dir in missing.into_iter().rev() {
            match fs::create_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if let Some(parent) = dir.parent() {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of the log's, and stands for no file of it.
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(OsFile(fs::File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}

#[derive(Debug)]
struct OsFile(fs::File);

impl StorageFile for OsFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    #[cfg(target_os = "linux")]
    fn is_locked(&self) -> Option<bool> {
        locks::is_locked(&self.0)
    }
}
