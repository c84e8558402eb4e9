//! A log with a file for each entry, over a seam of its own. Four of its syncs are needed, one is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the store needs of a file system.
pub trait Disk: Send + Sync {
    /// Creates the directory if it is missing.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

pub trait DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: u64,
}

impl Store {
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<Self> {
        disk.create_dir(dir)?;
        disk.sync_dir(dir.parent().unwrap_or(dir))?;
        let mut store = Self {
            disk,
            dir: dir.to_owned(),
            next: 0,
        };
        let names = store.disk.list(dir)?;
        for name in names.iter().filter(|name| name.ends_with(".new")) {
            store.disk.remove(&dir.join(name))?;
        }
        while names.contains(&store.next.to_string()) {
            store.next += 1;
        }
        // A writer that was killed may have left a name that is not durable.
        store.sync_names()?;
        Ok(store)
    }

    pub fn entries(&self) -> io::Result<Vec<Vec<u8>>> {
        let path = |number: u64| self.dir.join(number.to_string());
        (0..self.next).map(|n| self.disk.read(&path(n))).collect()
    }

    /// Appends an entry and returns its position.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        let path = self.dir.join(self.next.to_string());
        let new = path.with_extension("new");
        let mut file = self.disk.create(&new)?;
        // Nothing has been written yet.
        file.sync_data()?;
        file.write(payload)?;
        file.sync_all()?;
        self.disk.rename(&new, &path)?;
        self.sync_names()?;
        self.next += 1;
        Ok(self.next - 1)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.dir)
    }
}
