//! What a log asks of a storage, and what that owes it after a crash.

use std::io;
use std::path::Path;

use super::raw::RawFile;
use crate::sync::Arc;

/// A file system, and a source of entropy.
pub trait Storage: Send + Sync + 'static {
    /// Opens an existing directory. A relative path is resolved now and never again.
    ///
    /// # Errors
    /// As the operating system reports them: `NotFound` if nothing has the path.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>>;

    /// Fills `bytes` with entropy. A simulation draws it from its seed.
    ///
    /// # Errors
    /// If there is no source of entropy.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open directory.
///
/// It stays the same directory when it is renamed or when another one gets its path: every name is
/// resolved in it, never through the path with which it was opened. A name is one component, UTF-8,
/// without a slash.
pub trait StorageDir: Send + Sync + 'static {
    /// The absolute path with which it was opened, for messages.
    fn path(&self) -> &Path;

    /// The names in it, in any order, `.` and `..` left out.
    ///
    /// # Errors
    /// As the operating system reports them; a name that cannot be read is an error, never left
    /// out.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file for reading and writing; fails with `AlreadyExists` if the name is taken.
    ///
    /// Neither the file nor its name needs to survive a crash until [`StorageFile::sync_all`] and
    /// [`sync`](Self::sync) have returned.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading only, for programs that look at a log and may not write to
    /// it. Provided: [`open`](Self::open).
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open(name)
    }

    /// Renames a file or a directory, replacing `to` if it exists. Atomic: after a crash there is the old
    /// state or the new one, and which of them is open until [`sync`](Self::sync) has returned.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name. Descriptors that are open go on working.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in it durable.
    ///
    /// When it returns `Ok`, every create, rename and remove in it that returned before the call
    /// began survives a crash.
    ///
    /// # Errors
    /// As the operating system reports them. After an error nothing is known about those names.
    fn sync(&self) -> io::Result<()>;

    /// Which file has this name at the moment. A log asks before it changes names: a file of its own
    /// that is not found under its name shows that something else is at work in the directory.
    ///
    /// # Errors
    /// As the operating system reports them: `NotFound` if there is none, also in a directory that
    /// has been removed.
    fn identity(&self, name: &str) -> io::Result<FileIdentity>;

    /// Opens a directory in it.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>>;

    /// Creates a directory in it; fails with `AlreadyExists` if the name is taken. The name needs to
    /// survive a crash only once [`sync`](Self::sync) has returned.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn create_dir(&self, name: &str) -> io::Result<()>;

    /// Removes an empty directory in it. Only a [`Builder`](crate::Builder) asks for it, when it gives up.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn remove_dir(&self, name: &str) -> io::Result<()>;
}

/// Tells the files of a storage apart, whatever their names are. A file keeps it for as long as it is
/// open or has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
}

/// An open file.
pub trait StorageFile: Send + Sync + 'static {
    /// Reads at `offset`; may return less than asked for, and 0 only at the end of the file.
    ///
    /// # Errors
    /// As the operating system reports them. Bytes that cannot be read are an error, never zeros.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads at `offset` what is in memory already: returns without waiting for a disk, so that it may be
    /// called where nothing may block. `None` if nothing can be read like that, for whatever reason;
    /// the caller then reads with [`read_at`](Self::read_at), where waiting is allowed.
    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> Option<usize> {
        let _ = (bytes, offset);
        None
    }

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

    /// Gives back the room behind `len`, of a file that has lost its name for good and that nothing
    /// else has open. A hint, so that the blocks of a large file are not all freed in one go, which
    /// holds up other writers of the file system meanwhile; the provided method does nothing.
    fn shrink(&self, len: u64) {
        let _ = len;
    }

    /// Which file it is, as [`StorageDir::identity`] tells it.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn identity(&self) -> io::Result<FileIdentity>;

    /// Takes the file's exclusive lock if it is free, and tells whether it did.
    ///
    /// The lock belongs to this open file: it is held until [`unlock`](Self::unlock) or until the last
    /// descriptor of it is closed, including those that the kernel keeps for requests still in flight
    /// and those that a child process inherits, and a crash of the process releases it.
    ///
    /// # Errors
    /// As the operating system reports them; a lock that another open file holds is `Ok(false)`.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the lock back, although other descriptors of the open file may still be there: a child
    /// process has them between fork and exec. Errors are ignored: the lock goes with the descriptors.
    fn unlock(&self);

    /// Whether the file's exclusive lock is held, found out without asking for it; `None` if
    /// that cannot be known here, as the provided method says.
    fn is_locked(&self) -> Option<bool> {
        None
    }

    /// The descriptor under the file, if there is one that the log may hand to the kernel itself:
    /// the way to `io_uring` and to writes that sync by themselves. Without it the log uses the
    /// methods above.
    ///
    /// It belongs to the open file that [`try_lock`](Self::try_lock) locks, so that the lock is
    /// held for as long as a request is in flight, also when the process is killed. What is written
    /// through it is what [`read_at`](Self::read_at) shows once the write has ended.
    ///
    /// Default: `None`. A storage that decorates another one keeps it so, or the log goes past it.
    fn raw(&self) -> Option<RawFile<'_>> {
        None
    }
}
