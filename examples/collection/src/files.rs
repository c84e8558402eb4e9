//! Whole reads and writes through the log's storage seam, with errors that name file and operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use groupwal::{StorageDir, StorageFile};

use crate::error::{Error, Result};

/// A file of the collection, and where it is.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    file: Arc<dyn StorageFile>,
}

impl File {
    /// Creates it; the name must not be taken.
    pub(crate) fn create(dir: &dyn StorageDir, name: &str) -> Result<Self> {
        let path = dir.path().join(name);
        let created = dir.create(name);
        let file = created.map_err(|error| Error::io("create", &path, error))?;
        Ok(Self { path, file })
    }

    /// Opens it, to read it.
    pub(crate) fn open(dir: &dyn StorageDir, name: &str) -> Result<Self> {
        let path = dir.path().join(name);
        let opened = dir.open_read_only(name);
        let file = opened.map_err(|error| Error::io("open", &path, error))?;
        Ok(Self { path, file })
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.error("write", io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error("write", error)),
            }
        }
        Ok(())
    }

    pub(crate) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => return Err(self.error("read", io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error("read", error)),
            }
        }
        Ok(())
    }

    pub(crate) fn length(&self) -> Result<u64> {
        let length = self.file.length();
        length.map_err(|error| self.error("get the length of", error))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|error| self.error("sync", error))
    }

    fn error(&self, operation: &'static str, error: io::Error) -> Error {
        Error::io(operation, &self.path, error)
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("File").field(&self.path).finish()
    }
}

/// The names in a directory.
pub(crate) fn list(dir: &dyn StorageDir) -> Result<Vec<String>> {
    let names = dir.list();
    names.map_err(|error| Error::io("list", dir.path(), error))
}

/// Whether a name is taken.
pub(crate) fn is_taken(dir: &dyn StorageDir, name: &str) -> Result<bool> {
    match dir.identity(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", &dir.path().join(name), error)),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &dyn StorageDir) -> Result<()> {
    let synced = dir.sync();
    synced.map_err(|error| Error::io("sync the directory", dir.path(), error))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(dir: &dyn StorageDir, name: &str) -> Result<()> {
    match dir.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", &dir.path().join(name), error))
        }
        _ => Ok(()),
    }
}

/// Removes a file that no manifest names. If that fails it stays, and the next open removes it.
pub(crate) fn give_up(dir: &dyn StorageDir, name: &str) {
    drop(dir.remove(name));
}
