//! Files of segments that are not written any more: open only while they are read, few at a time, so
//! that a log may have more segments than its process may have open files.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;

use crate::storage::{FileIdentity, StorageDir, StorageFile, read_exact_at};
use crate::sync::{Arc, Mutex, Weak, lock};

/// So many of them are open at once, at most, whoever reads.
const OPEN_MAX: usize = 16;

/// The first bytes of a file. No two segments have the same.
pub(crate) type Head = [u8; 64];

/// An open file, as long as it is open.
type Slot = Mutex<Option<Arc<dyn StorageFile>>>;

/// Where the files rest, and which of them are open.
pub(crate) struct Shelf {
    dir: Arc<dyn StorageDir>,
    /// How they are opened: for programs that only look at a log, for reading only.
    read_only: bool,
    /// Opened last at the back.
    open: Mutex<VecDeque<Weak<Slot>>>,
}

/// A file that is opened when somebody needs it.
pub(crate) struct Resting {
    shelf: Arc<Shelf>,
    name: String,
    /// What the file begins with: by this it is known again.
    head: Option<Head>,
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
    pub(crate) fn new(dir: Arc<dyn StorageDir>) -> Self {
        Self::with(dir, false)
    }

    /// Opens files for reading only.
    pub(crate) fn read_only(dir: Arc<dyn StorageDir>) -> Self {
        Self::with(dir, true)
    }

    fn with(dir: Arc<dyn StorageDir>, read_only: bool) -> Self {
        Self {
            dir,
            read_only,
            open: Mutex::default(),
        }
    }

    /// Puts a file here that is open now, and will be for a while. It is called `name` and begins with
    /// `head`, if that is known.
    pub(crate) fn put(
        self: &Arc<Self>,
        name: String,
        head: Option<Head>,
        file: Arc<dyn StorageFile>,
    ) -> File {
        let resting = Resting {
            shelf: Arc::clone(self),
            name,
            head,
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
        let Shelf { dir, read_only, .. } = &*self.shelf;
        let file = match read_only {
            true => dir.open_read_only(&self.name)?,
            false => dir.open(&self.name)?,
        };
        // Another log may have got the directory, or a file of this one another name.
        let mut head = [0; 64];
        if let Some(known) = self.head {
            read_exact_at(&*file, &mut head, 0)?;
            if head != known {
                let detail = format!("{} is not the file that it was", self.name);
                return Err(io::Error::new(io::ErrorKind::NotFound, detail));
            }
        }
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

    fn identity(&self) -> io::Result<FileIdentity> {
        self.open()?.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.open()?.try_lock()
    }

    /// The lock went when the file was closed, if it was.
    fn unlock(&self) {
        if let Some(file) = &*lock(&self.slot) {
            file.unlock();
        }
    }
}
