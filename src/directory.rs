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
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::frame::POSITION_MAX;
use crate::segment::{Segment, SegmentHeader};
use crate::storage::{Storage, StorageFile, write_all_at};
use crate::sync::{Arc, Mutex, lock};

pub(crate) const LOCK_NAME: &str = "LOCK";
const FILL_CHUNK_BYTES: usize = 1 << 20;
/// How long to wait for the I/O of a process that died: `io_uring` requests outlive it and keep its
/// files open (35-115 ms were measured).
const DYING_IO_WAIT_MS: u32 = 10_000;

/// Why a segment could not be prepared.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing has changed under a final name; it may be tried again.
    Unchanged(Error),
    /// It has its final name, and nobody knows whether that is durable.
    NameUnknown(Error),
}

/// A file with a spare name.
struct Spare {
    path: PathBuf,
    file: Arc<dyn StorageFile>,
}

#[derive(Default)]
struct Spares {
    free: Vec<Spare>,
    next_number: u64,
}

pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    storage: Arc<dyn Storage>,
    spares: Mutex<Spares>,
    spares_max: usize,
    /// Held for its lock.
    _lock: Arc<dyn StorageFile>,
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
        Ok(Self {
            path: path.to_owned(),
            storage,
            spares: Mutex::default(),
            spares_max,
            _lock: lock_file,
        })
    }

    pub(crate) fn list(&self) -> Result<Listing> {
        Listing::read(&*self.storage, &self.path)
    }

    /// Opens, locks and checks a segment.
    pub(crate) fn open_segment(&self, segment_id: u64) -> Result<Segment> {
        let path = self.segment_path(segment_id);
        let file = self
            .storage
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        // The directory's lock is ours, so whoever holds this one is dead, its last requests
        // excepted.
        for _ in 0..DYING_IO_WAIT_MS {
            if file
                .try_lock()
                .map_err(|error| Error::io("lock", &path, error))?
            {
                return Segment::open(path, file, segment_id);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Error::new(Kind::Locked { path }))
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

    /// Prepares a segment: filled or recycled and given its header under a spare name, synced,
    /// renamed, and the name synced. When it returns `Ok`, the empty segment survives a crash.
    pub(crate) fn prepare(&self, header: SegmentHeader) -> Result<Segment, PrepareError> {
        let spare = self.take_spare(&header).map_err(PrepareError::Unchanged)?;
        let path = self.segment_path(header.segment_id);
        if let Err(error) = Self::initialise(&spare, &header).and_then(|()| {
            self.storage
                .rename(&spare.path, &path)
                .map_err(|error| Error::io("rename", &spare.path, error))
        }) {
            self.discard(&spare.path);
            return Err(PrepareError::Unchanged(error));
        }
        self.sync().map_err(PrepareError::NameUnknown)?;
        Ok(Segment {
            header,
            path,
            file: spare.file,
        })
    }

    /// Writes the header over whatever the spare held, and makes the file durable.
    fn initialise(spare: &Spare, header: &SegmentHeader) -> Result<()> {
        let at = |operation, error| Error::io(operation, &spare.path, error);
        write_all_at(&*spare.file, &header.encode(), 0).map_err(|error| at("write", error))?;
        spare.file.sync_all().map_err(|error| at("sync", error))
    }

    /// A recycled file of the right length, or a new one filled with zeros.
    ///
    /// Filling writes every block: overwriting written blocks later needs no change of the file's
    /// metadata, so a group's sync is one device write, where merely allocated blocks would
    /// commit the file system's journal each time.
    fn take_spare(&self, header: &SegmentHeader) -> Result<Spare> {
        let (recycled, number) = {
            let mut spares = lock(&self.spares);
            let recycled = spares.free.pop();
            spares.next_number += u64::from(recycled.is_none());
            (recycled, spares.next_number)
        };
        if let Some(spare) = recycled {
            if spare
                .file
                .length()
                .is_ok_and(|len| len == header.segment_bytes)
            {
                return Ok(spare);
            }
            self.discard(&spare.path);
            return self.take_spare(header);
        }
        let path = self.path.join(format!("{number:020}.spare"));
        let file = self
            .storage
            .create(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        let spare = Spare { path, file };
        Self::fill(&spare, header.segment_bytes).inspect_err(|_| self.discard(&spare.path))?;
        Ok(spare)
    }

    fn fill(spare: &Spare, len: u64) -> Result<()> {
        let at = |operation, error| Error::io(operation, &spare.path, error);
        if !spare.file.try_lock().map_err(|error| at("lock", error))? {
            return Err(Error::new(Kind::Locked {
                path: spare.path.clone(),
            }));
        }
        let zeros = vec![0; FILL_CHUNK_BYTES.min(usize::try_from(len).unwrap_or(usize::MAX))];
        let mut offset = 0;
        while offset < len {
            let chunk = usize::try_from(len - offset).map_or(zeros.len(), |n| n.min(zeros.len()));
            write_all_at(&*spare.file, &zeros[..chunk], offset)
                .map_err(|error| at("fill", error))?;
            offset += chunk as u64;
        }
        Ok(())
    }

    /// Removes a spare whose content means nothing. If that fails too, the next open removes it.
    fn discard(&self, path: &Path) {
        if let Err(error) = self.storage.remove(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a spare segment");
        }
    }

    /// Takes trimmed segments away, oldest first: unlinked, or renamed to be recycled.
    ///
    /// A crash in the middle leaves some of them; recovery knows from the trim position that they
    /// may be gone.
    pub(crate) fn retire(&self, segments: Vec<Arc<Segment>>) -> Result<()> {
        let mut recycled = Vec::new();
        for segment in segments {
            let path = segment.path.clone();
            let room = {
                let mut spares = lock(&self.spares);
                let room = spares.free.len() + recycled.len() < self.spares_max;
                spares.next_number += u64::from(room);
                room.then_some(spares.next_number)
            };
            // A replay that still reads the file must not see it overwritten.
            match (room, Arc::try_unwrap(segment)) {
                (Some(number), Ok(Segment { file, .. })) => {
                    let spare = self.path.join(format!("{number:020}.spare"));
                    self.storage
                        .rename(&path, &spare)
                        .map_err(|error| Error::io("rename", &path, error))?;
                    recycled.push(Spare { path: spare, file });
                }
                _ => {
                    self.storage
                        .remove(&path)
                        .map_err(|error| Error::io("remove", &path, error))?;
                }
            }
        }
        // Only when the old names are durably gone may their bytes be touched.
        self.sync()?;
        lock(&self.spares).free.append(&mut recycled);
        Ok(())
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

/// The final name of a segment in the log's directory.
pub(crate) fn segment_path(dir: &Path, segment_id: u64) -> PathBuf {
    dir.join(format!("{segment_id:020}.seg"))
}
