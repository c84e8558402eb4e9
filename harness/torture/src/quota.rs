//! A disk that is too small: a storage on which a log's files together take a limited number of bytes.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groupwal::{FileIdentity, Storage, StorageDir, StorageFile};

/// Another storage, with a limit. It has no descriptors: what is written through one is not counted.
pub(crate) struct Quota {
    storage: Arc<dyn Storage>,
    usage: Arc<Mutex<Usage>>,
}

/// How much is in use. A file counts from its first opening until its name is removed, so that an open
/// file without a name never makes the disk fuller than the log can know.
struct Usage {
    bytes_max: u64,
    lens: HashMap<FileIdentity, u64>,
    /// Another program takes what becomes free on a full disk.
    is_contested: bool,
    /// The last growth was refused, and no segment has been made since.
    is_full: bool,
}

impl Quota {
    pub(crate) fn new(storage: Arc<dyn Storage>, bytes_max: u64, is_contested: bool) -> Self {
        let usage = Usage {
            bytes_max,
            lens: HashMap::new(),
            is_contested,
            is_full: false,
        };
        Self {
            storage,
            usage: Arc::new(Mutex::new(usage)),
        }
    }
}

impl Usage {
    fn len(&self, file: FileIdentity) -> Option<u64> {
        self.lens.get(&file).copied()
    }

    fn room(&self) -> u64 {
        self.bytes_max.saturating_sub(self.lens.values().sum())
    }

    fn free(&mut self, bytes: u64) {
        if self.is_contested && self.is_full {
            self.bytes_max = self.bytes_max.saturating_sub(bytes);
        }
    }

    fn refuse(&mut self) -> io::Error {
        self.is_full = true;
        io::ErrorKind::StorageFull.into()
    }
}

fn lock(usage: &Mutex<Usage>) -> MutexGuard<'_, Usage> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for Quota {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(QuotaDir {
            dir: self.storage.open_dir(path)?,
            usage: Arc::clone(&self.usage),
        }))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.storage.fill_random(bytes)
    }
}

struct QuotaDir {
    dir: Arc<dyn StorageDir>,
    usage: Arc<Mutex<Usage>>,
}

impl QuotaDir {
    fn count(&self, file: Arc<dyn StorageFile>) -> io::Result<Arc<dyn StorageFile>> {
        let identity = file.identity()?;
        let len = file.length()?;
        lock(&self.usage).lens.entry(identity).or_insert(len);
        Ok(Arc::new(QuotaFile {
            file,
            identity,
            usage: Arc::clone(&self.usage),
        }))
    }

    /// The file with this name does not have it any more.
    fn forget(&self, file: io::Result<FileIdentity>) {
        let mut usage = lock(&self.usage);
        if let Some(len) = file.ok().and_then(|file| usage.lens.remove(&file)) {
            usage.free(len);
        }
    }
}

impl StorageDir for QuotaDir {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.dir.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.count(self.dir.create(name)?)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.count(self.dir.open(name)?)
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.dir.open_read_only(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let replaced = self.dir.identity(to);
        self.dir.rename(from, to)?;
        if replaced.is_ok() {
            self.forget(replaced);
        }
        if Path::new(to).extension().is_some_and(|kind| kind == "seg") {
            lock(&self.usage).is_full = false;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let file = self.dir.identity(name);
        self.dir.remove(name)?;
        self.forget(file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.dir.identity(name)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(Self {
            dir: self.dir.open_dir(name)?,
            usage: Arc::clone(&self.usage),
        }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.dir.create_dir(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.dir.remove_dir(name)
    }
}

struct QuotaFile {
    file: Arc<dyn StorageFile>,
    identity: FileIdentity,
    usage: Arc<Mutex<Usage>>,
}

impl StorageFile for QuotaFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> Option<usize> {
        self.file.read_cached_at(bytes, offset)
    }

    /// As on a real disk, the part that has room is written, and the rest is refused.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = offset + bytes.len() as u64;
        let mut usage = lock(&self.usage);
        let Some(len) = usage.len(self.identity).filter(|len| *len < end) else {
            drop(usage);
            return self.file.write_at(bytes, offset);
        };
        let end_max = len + usage.room();
        let count = usize::try_from(end_max.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(usage.refuse());
        }
        let written = self.file.write_at(&bytes[..count], offset)?;
        let len = len.max(offset + written as u64);
        usage.lens.insert(self.identity, len);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn shrink(&self, len: u64) {
        self.file.shrink(len);
        let mut usage = lock(&self.usage);
        if let Some(was) = usage.len(self.identity).filter(|was| *was > len) {
            usage.lens.insert(self.identity, len);
            usage.free(was - len);
        }
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.file.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn unlock(&self) {
        self.file.unlock();
    }

    fn is_locked(&self) -> Option<bool> {
        self.file.is_locked()
    }
}
