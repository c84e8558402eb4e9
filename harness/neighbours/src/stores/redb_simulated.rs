//! redb's storage on the simulated file system: the calls of its own file backend.

use std::io;
use std::path::Path;

use plugpull::SubjectError;
use plugpull::sim::{OpenOptions, SimFile, SimFs};
use redb::{Database, DatabaseError, StorageBackend};

/// Opens the database of a directory, or creates it under another name first: see [`crate::creation`].
pub(super) fn open(fs: &SimFs, dir: &Path) -> Result<Database, SubjectError> {
    if !fs.is_dir(dir) {
        fs.create_dir(dir)?;
    }
    fs.sync_dir("/")?;
    let path = dir.join("redb");
    if !fs.exists(&path) {
        let new = dir.join("redb.new");
        if fs.exists(&new) {
            fs.remove_file(&new)?;
        }
        drop(open_file(fs, &new)?);
        fs.rename(new, &path)?;
    }
    fs.sync_dir(dir)?;
    Ok(open_file(fs, &path)?)
}

fn open_file(fs: &SimFs, path: &Path) -> Result<Database, DatabaseError> {
    let mut options = OpenOptions::new();
    let file = fs.open(path, options.read(true).write(true).create(true))?;
    if !file.try_lock() {
        return Err(DatabaseError::DatabaseAlreadyOpen);
    }
    Database::builder().create_with_backend(Backend(file))
}

#[derive(Debug)]
struct Backend(SimFile);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.0.write_at(data, offset)?;
            offset += written as u64;
            data = &data[written..];
        }
        Ok(())
    }
}
