//! Files of segments that are not written any more: open only while they are read, few at a time, so
//! that a log may have more segments than its process may have open files.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::storage::{Storage, StorageFile};
use crate::sync::{Arc, Mutex, Weak, lock};

/// So many of them are open at once, at most, whoever reads.
const OPEN_MAX: usize = 16;

/// An open file, as long as it is open.
type Slot = Mutex<Option<Arc<dyn StorageFile>>>;

/// Where the files rest, and which of them are open.
pub(crate) struct Shelf {
    storage: Arc<dyn Storage>,
    /// Opened last at the back.
    open: Mutex<VecDeque<Weak<Slot>>>,
}

/// A file that is opened when somebody needs it.
pub(crate) struct Resting {
    shelf: Arc<Shelf>,
    path: PathBuf,
    slot: Arc<Slot>,
}

/// A segment's file.
#[derive(Clone)]
pub(crate) enum File {
    /// Open, for as long as the segment is written.
    Open(Arc<dyn StorageFile>),
    Resting(Arc<Resting>),
}

impl Shelf {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let open = Mutex::default();
        Self { storage, open }
    }

    /// Puts a file here that is open now, and will be for a while.
    pub(crate) fn put(self: &Arc<Self>, path: &Path, file: Arc<dyn StorageFile>) -> File {
        let resting = Resting {
            shelf: Arc::clone(self),
            path: path.to_owned(),
            slot: Arc::new(Mutex::new(Some(file))),
        };
        self.note(&resting.slot);
        File::Resting(Arc::new(resting))
    }

    /// A file has been opened: the one that has been so for longest is closed if they are too many.
    fn note(&self, opened: &Arc<Slot>) {
        let oldest = {
            let mut open = lock(&self.open);
            open.push_back(Arc::downgrade(opened));
            let too_many = open.len() > OPEN_MAX;
            too_many.then(|| open.pop_front()).flatten()
        };
        // Whoever reads from it right now has it for as long as that takes.
        if let Some(slot) = oldest.and_then(|slot| slot.upgrade()) {
            let closed = lock(&slot).take();
            drop(closed);
        }
    }
}

impl Resting {
    fn open(&self) -> io::Result<Arc<dyn StorageFile>> {
        let mut slot = lock(&self.slot);
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        let file = self.shelf.storage.open(&self.path)?;
        *slot = Some(Arc::clone(&file));
        drop(slot);
        self.shelf.note(&self.slot);
        Ok(file)
    }
}

impl From<Arc<dyn StorageFile>> for File {
    fn from(file: Arc<dyn StorageFile>) -> Self {
        Self::Open(file)
    }
}

impl File {
    /// The file itself, open until nobody has it any more.
    ///
    /// # Errors
    /// If it has to be opened and cannot be.
    pub(crate) fn awake(&self) -> io::Result<Arc<dyn StorageFile>> {
        match self {
            Self::Open(file) => Ok(Arc::clone(file)),
            Self::Resting(resting) => resting.open(),
        }
    }
}

impl Deref for File {
    type Target = dyn StorageFile;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Open(file) => &**file,
            Self::Resting(resting) => &**resting,
        }
    }
}

/// Without [`raw`](StorageFile::raw): nobody writes groups to it.
impl StorageFile for Resting {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.open()?.read_at(bytes, offset)
    }

    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> Option<usize> {
        // To open it might mean to wait, and so might to wait for somebody who does.
        let open = self.slot.try_lock().ok()?.clone()?;
        open.read_cached_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.open()?.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.open()?.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.open()?.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.open()?.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.open()?.try_lock()
    }
}
