//! A disk over another one: everything is passed on, but what a test wants to see or to change.

use std::io;
use std::path::Path;
use std::sync::Arc;

use groupwal::{RawFile, Storage, StorageFile};

/// What happens on the way.
pub trait Layer: Clone + Send + Sync + 'static {
    /// Something was read.
    fn was_read(&self) {}

    /// The file as engines write to it past [`StorageFile`].
    fn raw(&self) -> Option<RawFile<'_>> {
        None
    }
}

/// `inner`, and `layer` between its files and whoever uses them.
pub struct Over<S, L> {
    pub inner: S,
    pub layer: L,
}

struct OverFile<L> {
    inner: Arc<dyn StorageFile>,
    layer: L,
}

impl<S, L: Layer> Over<S, L> {
    fn file(&self, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(OverFile {
            inner,
            layer: self.layer.clone(),
        })
    }
}

impl<S: Storage, L: Layer> Storage for Over<S, L> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.inner.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.fill_random(bytes)
    }
}

impl<L: Layer> StorageFile for OverFile<L> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.inner.read_at(bytes, offset)?;
        self.layer.was_read();
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn raw(&self) -> Option<RawFile<'_>> {
        self.layer.raw()
    }
}
