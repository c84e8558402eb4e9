//! groupwal's storage seam over the simulated file system.

use std::io;
use std::path::Path;
use std::sync::Arc;

use groupwal::{FileIdentity, Storage, StorageDir, StorageFile};
use plugpull::sim::{OpenOptions, SimDir, SimFile, SimFs};

/// A simulated file system as a log's storage.
#[derive(Debug)]
pub struct SimStorage(pub SimFs);

impl Storage for SimStorage {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(SimStorageDir(self.0.open_dir(path)?)))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct SimStorageDir(SimDir);

fn identity(inode: u64) -> FileIdentity {
    FileIdentity { device: 0, inode }
}

impl StorageDir for SimStorageDir {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        let file = self
            .0
            .open(name, options.read(true).write(true).create_new(true))?;
        Ok(Arc::new(SimStorageFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self
            .0
            .open(name, OpenOptions::new().read(true).write(true))?;
        Ok(Arc::new(SimStorageFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove_file(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.0.inode(name).map(identity)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(Self(self.0.open_dir(name)?)))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.0.create_dir(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.0.remove_dir(name)
    }
}

#[derive(Debug)]
struct SimStorageFile(SimFile);

impl StorageFile for SimStorageFile {
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
        self.0.len()
    }

    fn shrink(&self, len: u64) {
        drop(self.0.set_len(len));
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(self.0.inode()))
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(self.0.try_lock())
    }

    fn unlock(&self) {
        self.0.unlock();
    }
}
