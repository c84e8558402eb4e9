//! A directory in memory.
//!
//! It models no power loss: whatever was written is there, synced or not, as after a process was
//! killed. A crash is a [`snapshot`](MemStorage::snapshot); a test damages the image and opens
//! another storage [`from_snapshot`](MemStorage::from_snapshot) of it. What only a power cut shows
//! (a missing sync, a missing directory sync) cannot be found with it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use groupwal::{FileIdentity, Storage, StorageDir, StorageFile};

/// File names and what the files hold.
pub type Image = BTreeMap<String, Vec<u8>>;

/// One directory, whatever path it is opened with. Clones are the same directory.
#[derive(Clone)]
pub struct MemStorage {
    files: Arc<Mutex<BTreeMap<String, Arc<Inode>>>>,
    /// State of a splitmix64 generator: entropy comes from the seed, so a failure repeats.
    entropy: Arc<Mutex<u64>>,
    /// Files that are open now, and the most that were at once.
    open: Arc<Mutex<(usize, usize)>>,
}

struct Inode {
    bytes: Mutex<Vec<u8>>,
    /// Whether some open file holds the lock.
    locked: AtomicBool,
}

/// An open file. Dropping it gives up its lock, as closing a descriptor does.
struct MemFile {
    inode: Arc<Inode>,
    open: Arc<Mutex<(usize, usize)>>,
    holds_lock: AtomicBool,
}

impl MemStorage {
    pub fn new(seed: u64) -> Self {
        Self::from_snapshot(&Image::new(), seed)
    }

    /// A directory that holds `image`, with nothing open and nothing locked.
    pub fn from_snapshot(image: &Image, seed: u64) -> Self {
        let inode = |bytes: &Vec<u8>| {
            Arc::new(Inode {
                bytes: Mutex::new(bytes.clone()),
                locked: AtomicBool::new(false),
            })
        };
        let files = image
            .iter()
            .map(|(name, bytes)| (name.clone(), inode(bytes)))
            .collect();
        Self {
            files: Arc::new(Mutex::new(files)),
            entropy: Arc::new(Mutex::new(seed)),
            open: Arc::default(),
        }
    }

    /// What a process that is killed now leaves behind.
    pub fn snapshot(&self) -> Image {
        let files = self.files.lock().unwrap();
        files
            .iter()
            .map(|(name, inode)| (name.clone(), inode.bytes.lock().unwrap().clone()))
            .collect()
    }

    /// The most files that were open at once.
    pub fn most_open(&self) -> usize {
        self.open.lock().unwrap().1
    }

    fn file(&self, inode: &Arc<Inode>) -> Arc<dyn StorageFile> {
        let (open, most) = &mut *self.open.lock().unwrap();
        *open += 1;
        *most = (*most).max(*open);
        Arc::new(MemFile {
            inode: Arc::clone(inode),
            open: Arc::clone(&self.open),
            holds_lock: AtomicBool::new(false),
        })
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Storage for MemStorage {
    fn open_dir(&self, _: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.entropy.lock().unwrap();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl StorageDir for MemStorage {
    fn path(&self) -> &Path {
        Path::new("/log")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut files = self.files.lock().unwrap();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::new(Inode {
            bytes: Mutex::default(),
            locked: AtomicBool::new(false),
        });
        let file = self.file(&inode);
        files.insert(name.to_owned(), inode);
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let files = self.files.lock().unwrap();
        let inode = files.get(name).ok_or_else(not_found)?;
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let inode = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        files.remove(name).map(drop).ok_or_else(not_found)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        let files = self.files.lock().unwrap();
        Ok(identity(files.get(name).ok_or_else(not_found)?))
    }

    fn open_dir(&self, _: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

fn identity(inode: &Arc<Inode>) -> FileIdentity {
    FileIdentity {
        device: 0,
        inode: Arc::as_ptr(inode).addr() as u64,
    }
}

impl StorageFile for MemFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.inode.bytes.lock().unwrap();
        let start = file.len().min(usize::try_from(offset).unwrap());
        let len = bytes.len().min(file.len() - start);
        bytes[..len].copy_from_slice(&file[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut file = self.inode.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[start..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.inode.bytes.lock().unwrap().len() as u64)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(&self.inode))
    }

    fn try_lock(&self) -> io::Result<bool> {
        // Asking again for a lock that one holds is fine, as with flock.
        if self.holds_lock.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let taken = !self.inode.locked.swap(true, Ordering::SeqCst);
        self.holds_lock.store(taken, Ordering::SeqCst);
        Ok(taken)
    }

    fn unlock(&self) {
        if self.holds_lock.swap(false, Ordering::SeqCst) {
            self.inode.locked.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.open.lock().unwrap().0 -= 1;
        self.unlock();
    }
}
