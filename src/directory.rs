//! A log's directory: names, locks, and the making, keeping and recycling of segment files.
//!
//! ```text
//! LOCK                        held by the process that owns the log
//! 00000000000000000007.seg    segment 7
//! 00000000000000000003.spare  a file to be made into a segment; its content means nothing
//! ```
//!
//! Names of any other form are not the log's and are left alone.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::frame::POSITION_MAX;
use crate::prepare::{PrepareError, Unfinished};
use crate::segment::{Segment, SegmentHeader};
use crate::shelf::Shelf;
use crate::storage::{Storage, StorageFile, write_all, write_all_at};
use crate::sync::{Arc, Mutex, lock};

pub(crate) const LOCK_NAME: &str = "LOCK";
/// How much of a new file is filled at once: little enough that a group's write, which may come in
/// between, hardly waits for it.
const FILL_BYTES: usize = 256 << 10;
/// How much of a removed file is given back at once. ext4 takes a quarter of a millisecond for each
/// megabyte, and whoever writes waits for its journal meanwhile.
const SHRINK_BYTES: u64 = 1 << 20;

/// Aligned for `O_DIRECT`.
#[repr(align(4096))]
struct Zeros([u8; FILL_BYTES]);

static ZEROS: Zeros = Zeros([0; FILL_BYTES]);

/// So many segments are taken away between two syncs of the directory: all of them are open then.
const RETIRED_AT_ONCE: usize = 16;

/// How long to wait for the I/O of a process that died: `io_uring` requests outlive it and keep its
/// files open (35-115 ms were measured).
const DYING_IO_WAIT_MS: u32 = 10_000;

/// A file with a spare name, locked.
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
}

/// Files of segments that have lost their names.
#[derive(Default)]
struct Unnamed {
    recycled: Vec<Spare>,
    /// How long they are, and the files.
    removed: Vec<(u64, Arc<dyn StorageFile>)>,
}

#[derive(Default)]
struct Spares {
    free: Vec<Spare>,
    next_number: u64,
}

/// A directory that this process owns for as long as this lives.
pub(crate) struct Directory {
    files: Arc<Files>,
    /// Held for its lock.
    _lock: Arc<dyn StorageFile>,
}

/// The directory's files and names.
///
/// Also for work in the background, which must not keep the directory locked when the log is gone:
/// it has this, and changes names only [`while_owned`](Self::while_owned).
pub(crate) struct Files {
    pub(crate) path: PathBuf,
    storage: Arc<dyn Storage>,
    shelf: Arc<Shelf>,
    spares: Mutex<Spares>,
    spares_max: usize,
    owned: Mutex<bool>,
}

/// The segments found in a directory, lowest id first.
pub(crate) struct Listing {
    pub(crate) segment_ids: Vec<u64>,
    spares: Vec<PathBuf>,
}

impl Listing {
    /// Reads the names in a log's directory.
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let names = storage
            .list(dir)
            .map_err(|error| Error::io("list", dir, error))?;
        let number = |name: &str, suffix: &str| {
            let digits = name.strip_suffix(suffix)?;
            let ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            ours.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let mut segment_ids: Vec<u64> = names
            .iter()
            .filter_map(|name| number(name, ".seg"))
            .collect();
        segment_ids.sort_unstable();
        let mut spares: Vec<PathBuf> = names
            .iter()
            .filter(|name| number(name, ".spare").is_some())
            .map(|name| dir.join(name))
            .collect();
        spares.sort_unstable();
        Ok(Self {
            segment_ids,
            spares,
        })
    }
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    pub(crate) fn open(storage: Arc<dyn Storage>, path: &Path, spares_max: usize) -> Result<Self> {
        storage
            .create_dir_all(path)
            .map_err(|error| Error::io("create", path, error))?;
        let lock_path = path.join(LOCK_NAME);
        let lock_file = match storage.open(&lock_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match storage.create(&lock_path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        storage.open(&lock_path)
                    }
                    created => created,
                }
            }
            opened => opened,
        }
        .map_err(|error| Error::io("open", &lock_path, error))?;
        if !lock_file
            .try_lock()
            .map_err(|error| Error::io("lock", &lock_path, error))?
        {
            return Err(Error::new(Kind::Locked { path: lock_path }));
        }
        let files = Arc::new(Files {
            path: path.to_owned(),
            shelf: Arc::new(Shelf::new(Arc::clone(&storage))),
            storage,
            spares: Mutex::default(),
            spares_max,
            owned: Mutex::new(true),
        });
        Ok(Self {
            files,
            _lock: lock_file,
        })
    }

    /// The files, without the ownership.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }
}

impl Deref for Directory {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.files
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Waits for a change of names in the background, if one is under way. After it there is
        // none any more, and the lock may go.
        *lock(&self.files.owned) = false;
    }
}

impl Files {
    /// Does something to names for work in the background, unless the directory is not ours any
    /// more.
    pub(crate) fn while_owned<R>(&self, change: impl FnOnce() -> R) -> Option<R> {
        let owned = lock(&self.owned);
        owned.then(change)
    }

    /// Whether the directory is still ours, for a moment at least.
    pub(crate) fn is_owned(&self) -> bool {
        *lock(&self.owned)
    }

    pub(crate) fn list(&self) -> Result<Listing> {
        Listing::read(&*self.storage, &self.path)
    }

    /// Checks a segment, once nobody writes to it any more. It rests until it is [woken](wake).
    pub(crate) fn find_segment(&self, segment_id: u64) -> Result<Segment> {
        let path = self.segment_path(segment_id);
        let file = self
            .storage
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        take_lock(&*file, &path)?;
        let mut segment = Segment::open(path, file.into(), segment_id)?;
        segment.rest(&self.shelf);
        Ok(segment)
    }

    /// Where the files of segments rest that are not written any more.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Random bytes from the storage.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.storage
            .fill_random(&mut bytes)
            .map_err(|error| Error::io("draw entropy for", &self.path, error))?;
        Ok(bytes)
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.storage
            .sync_dir(&self.path)
            .map_err(|error| Error::io("sync", &self.path, error))
    }

    /// Prepares a segment from beginning to end. When it returns `Ok`, the empty segment survives a
    /// crash.
    pub(crate) fn prepare(&self, header: SegmentHeader) -> Result<Segment, PrepareError> {
        Unfinished::begin(self, header)?.complete(self)
    }

    /// A recycled file of the right length, or a new one, empty; and how much of it is filled.
    pub(crate) fn take_spare(&self, segment_bytes: u64) -> Result<(Spare, u64)> {
        loop {
            let (recycled, number) = {
                let mut spares = lock(&self.spares);
                let recycled = spares.free.pop();
                spares.next_number += u64::from(recycled.is_none());
                (recycled, spares.next_number)
            };
            match recycled {
                Some(spare) if spare.file.length().is_ok_and(|len| len == segment_bytes) => {
                    return Ok((spare, segment_bytes));
                }
                Some(spare) => self.discard(&spare.path),
                None => return Ok((self.create_spare(number)?, 0)),
            }
        }
    }

    fn create_spare(&self, number: u64) -> Result<Spare> {
        let path = self.path.join(format!("{number:020}.spare"));
        let file = self
            .storage
            .create(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        let locked = file
            .try_lock()
            .map_err(|error| Error::io("lock", &path, error))
            .and_then(|locked| {
                let path = path.clone();
                locked
                    .then_some(())
                    .ok_or(Error::new(Kind::Locked { path }))
            });
        locked.inspect_err(|_| self.discard(&path))?;
        Ok(Spare { path, file })
    }

    /// Removes a spare whose content means nothing. If that fails too, the next open removes it.
    pub(crate) fn discard(&self, path: &Path) {
        if let Err(error) = self.storage.remove(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a spare segment");
        }
    }

    /// Gives a spare its final name and makes that durable.
    pub(crate) fn name(
        &self,
        spare: Spare,
        header: SegmentHeader,
    ) -> Result<Segment, PrepareError> {
        let path = self.segment_path(header.segment_id);
        self.storage
            .rename(&spare.path, &path)
            .map_err(|error| Error::io("rename", &spare.path, error))
            .inspect_err(|_| self.discard(&spare.path))
            .map_err(PrepareError::Unchanged)?;
        self.sync().map_err(PrepareError::NameUnknown)?;
        Ok(Segment {
            header,
            path,
            file: spare.file.into(),
        })
    }

    /// Takes trimmed segments away, oldest first: unlinked, or renamed to be recycled.
    ///
    /// A crash in the middle leaves some of them; recovery knows from the trim position that they
    /// may be gone.
    pub(crate) fn retire(&self, segments: Vec<Arc<Segment>>) -> Result<()> {
        let mut segments = segments.into_iter();
        while segments.len() > 0 {
            let mut gone = self.unname(segments.by_ref().take(RETIRED_AT_ONCE))?;
            // Only when the old names are durably gone may their bytes be touched.
            self.sync()?;
            lock(&self.spares).free.append(&mut gone.recycled);
            for (mut len, file) in gone.removed {
                while len > 0 {
                    len = len.saturating_sub(SHRINK_BYTES);
                    file.shrink(len);
                }
            }
        }
        Ok(())
    }

    /// Takes the names of segments away. That is not durable yet.
    fn unname(&self, segments: impl Iterator<Item = Arc<Segment>>) -> Result<Unnamed> {
        let mut gone = Unnamed::default();
        for segment in segments {
            let (path, header) = (segment.path.clone(), segment.header);
            let room = {
                let mut spares = lock(&self.spares);
                let room = spares.free.len() + gone.recycled.len() < self.spares_max;
                spares.next_number += u64::from(room);
                room.then_some(spares.next_number)
            };
            // A replay that still reads the file must not see it overwritten.
            let unread = Arc::try_unwrap(segment).ok();
            let file = unread.and_then(|segment| segment.file.awake().ok());
            let remove = || {
                let removed = self.storage.remove(&path);
                removed.map_err(|error| Error::io("remove", &path, error))
            };
            match (room, file) {
                (Some(number), Some(file)) if file.try_lock().is_ok_and(|locked| locked) => {
                    let spare = self.path.join(format!("{number:020}.spare"));
                    self.storage
                        .rename(&path, &spare)
                        .map_err(|error| Error::io("rename", &path, error))?;
                    gone.recycled.push(Spare { path: spare, file });
                }
                (_, Some(file)) => {
                    remove()?;
                    gone.removed.push((header.segment_bytes, file));
                }
                (_, None) => remove()?,
            }
        }
        Ok(gone)
    }

    /// Keeps spare files of an earlier run, as many as are wanted, and removes the others.
    ///
    /// Only what has been a segment is kept, older than `oldest`, the oldest one there is: it had
    /// its final name once, so all of its length is durable. A file that was still being prepared may
    /// be short without showing it: after a failed sync its bytes are in the page cache alone, and
    /// the next sync would not write them.
    pub(crate) fn adopt_spares(
        &self,
        listing: &Listing,
        oldest: Option<&SegmentHeader>,
    ) -> Result<()> {
        for path in &listing.spares {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse().ok()).unwrap_or(u64::MAX);
            // No log gets to such a number: the name was given by somebody else.
            let is_ours = number < POSITION_MAX;
            let mut spares = lock(&self.spares);
            if is_ours {
                spares.next_number = spares.next_number.max(number);
            }
            let wanted = is_ours && spares.free.len() < self.spares_max;
            let was_segment = |file: &Arc<dyn StorageFile>| {
                file.try_lock().is_ok_and(|locked| locked)
                    && SegmentHeader::read(&**file).is_some_and(|was| {
                        oldest.is_some_and(|oldest| {
                            was.log_id == oldest.log_id && was.segment_id < oldest.segment_id
                        })
                    })
            };
            let file = match self.storage.open(path) {
                Ok(file) if wanted && was_segment(&file) => file,
                _ => {
                    self.storage
                        .remove(path)
                        .map_err(|error| Error::io("remove", path, error))?;
                    continue;
                }
            };
            spares.free.push(Spare {
                path: path.clone(),
                file,
            });
        }
        Ok(())
    }

    fn segment_path(&self, segment_id: u64) -> PathBuf {
        segment_path(&self.path, segment_id)
    }
}

impl Spare {
    /// Fills some more of a new file with zeros, up to `len` at most. Returns how much is filled.
    ///
    /// Every block is written: overwriting written blocks later needs no change of the file's
    /// metadata, so a group's sync is one device write, where merely allocated blocks would commit
    /// the file system's journal each time.
    pub(crate) fn fill(&self, filled: u64, len: u64) -> Result<u64> {
        let at = |operation, error| Error::io(operation, &self.path, error);
        let left = usize::try_from(len - filled).unwrap_or(usize::MAX);
        let zeros = &ZEROS.0[..left.min(FILL_BYTES)];
        let filled_then = filled + zeros.len() as u64;
        let direct = self.file.raw().filter(|raw| {
            raw.is_direct() && u32::try_from(zeros.len()).is_ok_and(|len| raw.takes_blocks(len))
        });
        match direct {
            Some(raw) => write_all(zeros, filled, |bytes, offset| raw.write_at(bytes, offset)),
            None => write_all_at(&*self.file, zeros, filled),
        }
        .map_err(|error| at("fill", error))?;
        if direct.is_none() && filled_then < len {
            // What piles up in the page cache is written at once later, and holds up whoever
            // writes then.
            self.file.sync_data().map_err(|error| at("sync", error))?;
        }
        Ok(filled_then)
    }

    /// Writes the header over whatever the file held, and makes the file durable.
    pub(crate) fn initialise(&self, header: &SegmentHeader) -> Result<()> {
        let at = |operation, error| Error::io(operation, &self.path, error);
        write_all_at(&*self.file, &header.encode(), 0).map_err(|error| at("write", error))?;
        self.file.sync_all().map_err(|error| at("sync", error))
    }
}

/// Opens and locks a segment that is to be written.
pub(crate) fn wake(segment: &Segment) -> Result<Arc<Segment>> {
    let path = segment.path.clone();
    let file = segment
        .file
        .awake()
        .map_err(|error| Error::io("open", &path, error))?;
    take_lock(&*file, &path)?;
    Ok(Arc::new(Segment {
        header: segment.header,
        path,
        file: file.into(),
    }))
}

/// Takes the lock of a segment. The directory's is ours, so whoever holds this one is dead, its last requests
/// excepted.
fn take_lock(file: &dyn StorageFile, path: &Path) -> Result<()> {
    for _ in 0..DYING_IO_WAIT_MS {
        if file
            .try_lock()
            .map_err(|error| Error::io("lock", path, error))?
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let path = path.to_owned();
    Err(Error::new(Kind::Locked { path }))
}

/// The final name of a segment in the log's directory.
pub(crate) fn segment_path(dir: &Path, segment_id: u64) -> PathBuf {
    dir.join(format!("{segment_id:020}.seg"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::OsStorage;

    /// A piece of work may have begun when there still was a log, and come to the point when the next
    /// owner is at work.
    #[test]
    fn names_are_changed_in_the_background_only_while_the_directory_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(OsStorage);
        let directory = Directory::open(storage.clone(), dir.path(), 1).unwrap();
        let files = Arc::clone(directory.files());
        assert_eq!(files.while_owned(|| 7), Some(7));
        drop(directory);
        let next = Directory::open(storage, dir.path(), 1).unwrap();
        assert_eq!(files.while_owned(|| 7), None);
        assert!(!files.is_owned() && next.files().is_owned());
    }
}
