//! The operating system's directories and files.

mod file;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::retry_on_intr;

use self::file::OsFile;
use super::traits::{FileIdentity, Storage, StorageDir, StorageFile};
use crate::sync::Arc;

/// The operating system's files. On macOS, syncs are `F_FULLFSYNC`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsStorage;

impl Storage for OsStorage {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(Arc::new(OsDir {
            dir: fs::File::from(dir),
            path: std::path::absolute(path)?,
        }))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}

/// A directory by its descriptor: a rename of the directory, or a change of the process's working
/// directory, leads nowhere else.
#[derive(Debug)]
struct OsDir {
    dir: fs::File,
    path: PathBuf,
}

impl OsDir {
    /// Opens a name in it. What it opens is closed in programs that the process starts.
    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        let flags = flags | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| openat(&self.dir, name, flags, mode))?)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Arc<dyn StorageFile>> {
        let file = fs::File::from(self.open_with(name, OFlags::RDWR | flags)?);
        let again = |flags| Ok(fs::File::from(self.open_with(name, OFlags::RDWR | flags)?));
        Ok(Arc::new(OsFile::new(file, again)?))
    }
}

impl StorageDir for OsDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            // A name that is not UTF-8 is none of the log's, and stands for no file of it.
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_file(name, OFlags::empty())
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = fs::File::from(self.open_with(name, OFlags::RDONLY)?);
        Ok(Arc::new(OsFile::read_only(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        let about = statat(&self.dir, name, AtFlags::empty())?;
        #[allow(
            clippy::unnecessary_cast,
            clippy::cast_sign_loss,
            reason = "the types of these numbers differ between systems"
        )]
        let (device, inode) = (about.st_dev as u64, about.st_ino as u64);
        Ok(FileIdentity { device, inode })
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok(Arc::new(OsDir {
            dir: fs::File::from(self.open_with(name, flags)?),
            path: self.path.join(name),
        }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        Ok(mkdirat(
            &self.dir,
            name,
            Mode::RWXU | Mode::RWXG | Mode::RWXO,
        )?)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::REMOVEDIR)?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd;

    use super::{OsStorage, Storage};

    /// A request in the ring keeps the file open that it was made for, and no other: if the lock were
    /// on another, the next process would recover the segment while the last one's group, in flight
    /// when it was killed, is still being written to it.
    #[test]
    fn the_descriptor_that_is_written_through_has_the_lock() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = OsStorage
            .open_dir(dir.path())
            .unwrap()
            .create("segment")
            .unwrap();
        file.write_at(&[0; 4096], 0).unwrap();
        assert!(file.try_lock().unwrap());
        let raw = file.raw().expect("it has a descriptor");
        let about = format!("/proc/self/fdinfo/{}", raw.fd().as_raw_fd());
        let about = std::fs::read_to_string(about).unwrap();
        assert!(about.contains("FLOCK"), "no lock: {about}");
        let other = OsStorage
            .open_dir(dir.path())
            .unwrap()
            .open("segment")
            .unwrap();
        assert!(!other.try_lock().unwrap(), "two have the lock");
        drop(file);
        assert!(other.try_lock().unwrap());
    }

    /// A reader that had the pages in the cache sees what was written past it.
    #[test]
    fn what_is_written_past_the_page_cache_is_read_through_it() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = OsStorage
            .open_dir(dir.path())
            .unwrap()
            .create("segment")
            .unwrap();
        let len = 16 << 12;
        file.write_at(&vec![0; len], 0).unwrap();
        file.sync_all().unwrap();
        let mut read = vec![1; len];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), len);
        let mut bytes = aligned_vec::AVec::<u8, aligned_vec::ConstAlign<4096>>::new(4096);
        bytes.resize(4096, 7);
        let raw = file.raw().expect("it has a descriptor");
        for block in [3, 9] {
            let offset = block << 12;
            crate::storage::write_all_durable_at(raw, &bytes, offset as u64).unwrap();
            assert_eq!(file.read_at(&mut read, 0).unwrap(), len);
            assert_eq!(read[offset..offset + 4096], bytes[..]);
            assert!(read[offset + 4096..].iter().all(|byte| *byte == 0));
        }
    }
}
