//! An open file of the operating system.
//!
//! # Two descriptors for a file
//!
//! Where `O_DIRECT` works a file is open twice: once through the page cache, for whatever reads and
//! for recovery's writes, and once past it, for the groups' writes. The second one has the lock.
//!
//! That a reader sees what was written past the page cache is the kernel's doing: a direct write
//! drops the pages of its range before it goes to the device, and again before it ends, so pages
//! that a reader fetched meanwhile go too; what fails is only to drop a page that is dirty. Here
//! none ever is: what is written through the page cache (filling, recovery, a roll-back) is synced
//! before the next group is written. And the log never shows what is not durable, nor writes again
//! what is: no range is read while it is being written.
//! After a direct write that *failed*, the page cache may show zeros where the disk has a part of
//! the frame, or the whole; recovery reckons with that (`recovery.rs`), and the log is poisoned.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::OFlags;

#[cfg(target_os = "linux")]
use crate::storage::locks;
use crate::storage::raw::RawFile;
use crate::storage::traits::{FileIdentity, StorageFile};

#[derive(Debug)]
pub(super) struct OsFile {
    file: fs::File,
    #[cfg(target_os = "linux")]
    fast: linux::FastFile,
}

impl OsFile {
    /// `open_again` opens the same name once more, with these flags.
    #[cfg(target_os = "linux")]
    pub(super) fn new(
        file: fs::File,
        open_again: impl FnOnce(OFlags) -> io::Result<fs::File>,
    ) -> io::Result<Self> {
        let fast = linux::FastFile::new(&file, open_again)?;
        Ok(Self { file, fast })
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(super) fn new(
        file: fs::File,
        _: impl FnOnce(OFlags) -> io::Result<fs::File>,
    ) -> io::Result<Self> {
        Ok(Self { file })
    }

    /// A file that is only read.
    pub(super) fn read_only(file: fs::File) -> Self {
        Self {
            file,
            #[cfg(target_os = "linux")]
            fast: linux::FastFile::none(),
        }
    }

    /// The open file that has the lock.
    fn locked(&self) -> &fs::File {
        #[cfg(target_os = "linux")]
        if let Some(direct) = self.fast.direct() {
            return direct;
        }
        &self.file
    }
}

impl StorageFile for OsFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> Option<usize> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut bytes = [io::IoSliceMut::new(bytes)];
        preadv2(&self.file, &mut bytes, offset, ReadWriteFlags::NOWAIT).ok()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn shrink(&self, len: u64) {
        // All of it goes when the file is closed, in any case.
        drop(self.file.set_len(len));
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        let about = self.file.metadata()?;
        Ok(FileIdentity {
            device: about.dev(),
            inode: about.ino(),
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.locked().try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) {
        drop(self.locked().unlock());
    }

    #[cfg(target_os = "linux")]
    fn is_locked(&self) -> Option<bool> {
        locks::is_locked(&self.file)
    }

    #[cfg(target_os = "linux")]
    fn raw(&self) -> Option<RawFile<'_>> {
        self.fast.raw(&self.file)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use aligned_vec::{AVec, ConstAlign};
    use rustix::fs::{OFlags, fstatfs};

    use super::RawFile;
    use crate::frame::BUFFER_ALIGN;
    use crate::sync::OnceLock;

    /// File systems whose self-syncing writes this project puts under torture: ext2 to ext4, XFS,
    /// Btrfs. Everywhere else a write is followed by a sync.
    const TRUSTED: [u32; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

    /// What `O_DIRECT` may ask for: a sector of the disk, as it says it is.
    const SECTORS: [usize; 2] = [512, 4096];

    /// What a file can do beyond the calls that every file has.
    #[derive(Debug)]
    pub(super) struct FastFile {
        trusted: bool,
        /// The file, past the page cache.
        direct: Option<fs::File>,
        /// What that asks for, once the file has bytes to try it with; `None` if nothing is enough.
        align: OnceLock<Option<usize>>,
    }

    impl FastFile {
        pub(super) fn new(
            file: &fs::File,
            open_again: impl FnOnce(OFlags) -> io::Result<fs::File>,
        ) -> io::Result<Self> {
            let file_system = fstatfs(file)?.f_type;
            let trusted = u32::try_from(file_system).is_ok_and(|known| TRUSTED.contains(&known));
            let direct = trusted.then(|| open_direct(file, open_again)).flatten();
            Ok(Self {
                trusted,
                direct,
                align: OnceLock::new(),
            })
        }

        /// Nothing beyond them.
        pub(super) fn none() -> Self {
            Self {
                trusted: false,
                direct: None,
                align: OnceLock::new(),
            }
        }

        pub(super) fn direct(&self) -> Option<&fs::File> {
            self.direct.as_ref()
        }

        pub(super) fn raw<'a>(&'a self, file: &'a fs::File) -> Option<RawFile<'a>> {
            let Some(direct) = &self.direct else {
                return Some(RawFile::new(file.as_fd()).write_syncs(self.trusted));
            };
            let align = match self.align.get() {
                Some(known) => *known,
                None => match probe(direct) {
                    // Nothing to read yet: what is enough for every disk.
                    Ok(None) => Some(BUFFER_ALIGN),
                    Ok(found) => *self.align.get_or_init(|| found),
                    Err(_) => *self.align.get_or_init(|| None),
                },
            };
            let raw = RawFile::new(direct.as_fd()).write_syncs(true);
            align.map(|align| raw.align(align))
        }
    }

    /// Opens the same file once more, past the page cache, where that can be had.
    fn open_direct(
        file: &fs::File,
        open_again: impl FnOnce(OFlags) -> io::Result<fs::File>,
    ) -> Option<fs::File> {
        let direct = open_again(OFlags::DIRECT).ok()?;
        let (one, other) = (file.metadata().ok()?, direct.metadata().ok()?);
        ((one.dev(), one.ino()) == (other.dev(), other.ino())).then_some(direct)
    }

    /// The smallest unit that can be read, which is the one that can be written; `None` if the file
    /// is empty.
    fn probe(direct: &fs::File) -> io::Result<Option<usize>> {
        let mut refusal = io::ErrorKind::Unsupported.into();
        for sector in SECTORS {
            let mut bytes: AVec<u8, ConstAlign<BUFFER_ALIGN>> = AVec::new(BUFFER_ALIGN);
            bytes.resize(sector, 0);
            match direct.read_at(&mut bytes, 0) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(sector)),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Seek;

    use super::{OsFile, StorageFile};

    /// If they moved it, one could come between another's move and its read or write.
    #[test]
    fn reads_and_writes_leave_the_files_position_alone() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(dir.path().join("segment"))
            .unwrap();
        let file = OsFile::read_only(file);
        assert_eq!(file.write_at(&[7; 4096], 4096).unwrap(), 4096);
        let mut read = [0; 512];
        assert_eq!(file.read_at(&mut read, 4096).unwrap(), 512);
        assert_eq!(file.read_cached_at(&mut read, 4608).unwrap_or(512), 512);
        assert_eq!((&file.file).stream_position().unwrap(), 0);
    }
}
