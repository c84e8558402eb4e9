//! A disk over another one: everything is passed on, but what a test wants to see or to change.

use std::io;
use std::path::Path;
use std::sync::Arc;

use groupwal::{FileIdentity, RawFile, Storage, StorageDir, StorageFile};

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

struct OverDir<L> {
    inner: Arc<dyn StorageDir>,
    layer: L,
}

struct OverFile<L> {
    inner: Arc<dyn StorageFile>,
    layer: L,
}

impl<L: Layer> OverDir<L> {
    fn file(&self, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(OverFile {
            inner,
            layer: self.layer.clone(),
        })
    }

    fn dir(inner: Arc<dyn StorageDir>, layer: &L) -> Arc<dyn StorageDir> {
        let layer = layer.clone();
        Arc::new(Self { inner, layer })
    }
}

impl<S: Storage, L: Layer> Storage for Over<S, L> {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(OverDir::dir(self.inner.open_dir(path)?, &self.layer))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.fill_random(bytes)
    }
}

impl<L: Layer> StorageDir for OverDir<L> {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.inner.identity(name)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Self::dir(self.inner.open_dir(name)?, &self.layer))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.inner.create_dir(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.inner.remove_dir(name)
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

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }

    fn raw(&self) -> Option<RawFile<'_>> {
        self.layer.raw()
    }
}
