//! A disk that the kernel keeps in memory: no other thread has to wake up for its I/O.
//!
//! Such a device outlives the process that asked for it, and has no name. So whoever makes one holds
//! a lock on a file in `/run/plugpull` that is named after it, and leaves a mark on its last page,
//! which no file system gets to see. A device whose file nobody has locked, and whose mark is the one
//! in the file, was left behind. No other is touched.
//!
//! A device that is on its way out has lost its size and its mark before it is gone. The file also says
//! which object of the kernel it stands for, by the inode in sysfs, which no other device gets as long as
//! the kernel runs: so what was left half removed is known again, too.
//!
//! Killed between asking for a device and marking it, a run would leave a device of size 0 that nobody
//! knows of. So before it asks, it writes down, under the registry's lock, which devices there are; what
//! has no size and is not among them when the next run finds that note was made in between, by us.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use libc::O_DIRECT;
use serde::{Deserialize, Serialize};

use super::error::at_path;
use super::identity::identity;
use super::image::{CHUNK_PAGES, Image, PAGE_BYTES};
use super::patience::while_busy;
use super::sys;

const CONTROL: &str = "/sys/class/zram-control";
const CLAIMS: &str = "/run/plugpull";
const PREFIX: &str = "zram";
const CHUNK_BYTES: u64 = (CHUNK_PAGES * PAGE_BYTES) as u64;

/// A zram device that goes when it is dropped and not mounted; if the process is killed, with the
/// next run's [`sweep`].
#[derive(Debug)]
pub(super) struct Zram {
    number: u32,
    path: PathBuf,
    bytes: u64,
    device: Option<File>,
    /// What is stored when no image is.
    stored_empty: (u64, u64),
    /// Where something was ever found, in chunks.
    touched: BTreeSet<u64>,
    buffer: Buffer,
    /// Locked as long as the device is ours.
    claim: File,
}

/// Whether the kernel can make such devices.
pub(super) fn is_there() -> bool {
    Path::new(CONTROL).join("hot_add").exists()
}

impl Zram {
    /// Makes a device.
    pub(super) fn create(bytes: u64) -> io::Result<Self> {
        let registry = registry()?;
        let intent = Intent::declare()?;
        let hot_add = Path::new(CONTROL).join("hot_add");
        let number = fs::read_to_string(&hot_add).map_err(at_path("read", &hot_add))?;
        let number = number.trim().parse().map_err(io::Error::other);
        let number: u32 = number.map_err(at_path("understand", &hot_add))?;
        let claim = claim_path(number);
        let failed = at_path("claim a zram device with", &claim);
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&claim);
        let claim = options.map_err(&failed)?;
        claim.try_lock().map_err(io::Error::from).map_err(&failed)?;
        let mark = identity()?;
        let owned = Claim {
            mark: mark.clone(),
            object: object(number)?,
        };
        let owned = serde_json::to_vec(&owned)?;
        claim.write_all_at(&owned, 0).map_err(&failed)?;
        let mut zram = Self {
            number,
            path: PathBuf::from(format!("/dev/zram{number}")),
            bytes,
            device: None,
            stored_empty: (0, 0),
            touched: BTreeSet::new(),
            buffer: Buffer::new(),
            claim,
        };
        let made = zram.set_up(&mark);
        let noted = intent.fulfilled();
        // One that could not be made takes the lock again as it is dropped.
        drop(registry);
        made.and(noted).map(|()| zram)
    }

    fn set_up(&mut self, mark: &str) -> io::Result<()> {
        // The fastest, where there is a choice.
        fs::write(setting(self.number, "comp_algorithm"), "lz4").ok();
        let size = setting(self.number, "disksize");
        let bytes = self.bytes + PAGE_BYTES as u64;
        fs::write(&size, bytes.to_string()).map_err(at_path("set", &size))?;
        let device = open(&self.path)?;
        let page = self.buffer.pages(1);
        page.fill(0);
        page[..mark.len()].copy_from_slice(mark.as_bytes());
        device
            .write_all_at(page, self.bytes)
            .map_err(at_path("write to", &self.path))?;
        self.device = Some(device);
        self.stored_empty = self.stored()?;
        Ok(())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How large an image it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an image in place.
    pub(super) fn load(&mut self, image: &Image) -> io::Result<()> {
        let failed = at_path("put an image on", &self.path);
        self.clear().map_err(&failed)?;
        let device = self.device.as_ref().expect("set up");
        let mut pages = image.pages().peekable();
        while let Some((first, bytes)) = pages.next() {
            self.touched.insert(first / CHUNK_PAGES as u64);
            let mut count = 1;
            let buffer = self.buffer.pages(CHUNK_PAGES);
            buffer[..PAGE_BYTES].copy_from_slice(bytes);
            while !(first + count as u64).is_multiple_of(CHUNK_PAGES as u64)
                && let Some((_, bytes)) = pages.next_if(|next| next.0 == first + count as u64)
            {
                buffer[count * PAGE_BYTES..][..PAGE_BYTES].copy_from_slice(bytes);
                count += 1;
            }
            let batch = &buffer[..count * PAGE_BYTES];
            device
                .write_all_at(batch, first * PAGE_BYTES as u64)
                .map_err(&failed)?;
        }
        sys::flush_buffers(device).map_err(&failed)
    }

    /// Throws away all but the mark.
    ///
    /// What a mount has written is not known, but how many pages the device stores is. So it is
    /// enough to discard where something was found before, and to look everywhere else only if
    /// more is stored than the mark.
    fn clear(&mut self) -> io::Result<()> {
        let device = self.device.as_ref().expect("set up");
        let mut touched = self.touched.iter().copied().peekable();
        while let Some(first) = touched.next() {
            let mut end = first + 1;
            while touched.next_if_eq(&end).is_some() {
                end += 1;
            }
            self.discard(device, first..end)?;
        }
        let mut stored = self.stored()?;
        for chunk in 0..self.bytes.div_ceil(CHUNK_BYTES) {
            if stored == self.stored_empty {
                break;
            }
            if !self.touched.contains(&chunk) {
                self.discard(device, chunk..chunk + 1)?;
                let left = self.stored()?;
                if left != stored {
                    self.touched.insert(chunk);
                    stored = left;
                }
            }
        }
        Ok(())
    }

    fn discard(&self, device: &File, chunks: Range<u64>) -> io::Result<()> {
        let (from, to) = (chunks.start * CHUNK_BYTES, chunks.end * CHUNK_BYTES);
        sys::discard(device, from, to.min(self.bytes) - from)
    }

    /// Whether it has carried out all that it was asked for.
    ///
    /// # Errors
    /// If requests have failed: most likely, there was no memory for it.
    pub(super) fn check(&self) -> io::Result<()> {
        let path = setting(self.number, "io_stat");
        let text = fs::read_to_string(&path).map_err(at_path("read", &path))?;
        // Reads and writes that have failed.
        if text.split_whitespace().take(2).all(|word| word == "0") {
            return Ok(());
        }
        let reason = "requests have failed, most likely for want of memory: nothing that failed on it is \
                      the store's failure";
        Err(at_path("rely on", &self.path)(io::Error::other(reason)))
    }

    /// How many bytes are stored, and how many pages of one repeated value.
    fn stored(&self) -> io::Result<(u64, u64)> {
        let path = setting(self.number, "mm_stat");
        let text = fs::read_to_string(&path).map_err(at_path("read", &path))?;
        let mut words = text.split_whitespace().map(|word| word.parse().ok());
        let stored = words.next().flatten().zip(words.nth(4).flatten());
        stored.ok_or_else(|| at_path("understand", &path)(io::Error::other(text)))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        self.device = None;
        // Without the lock, the number could be somebody else's before the claim is removed.
        let Ok(_registry) = registry() else {
            return;
        };
        // If it is in use still, the next run removes it.
        if remove(self.number).is_ok() {
            fs::remove_file(claim_path(self.number)).ok();
        }
        self.claim.unlock().ok();
    }
}

/// A note that a device is about to be made. While it is there, the registry is locked, or its owner is
/// dead.
struct Intent(());

const INTENT: &str = "/run/plugpull/making";

impl Intent {
    fn declare() -> io::Result<Self> {
        let there = serde_json::to_vec(&devices()?)?;
        fs::write(INTENT, there).map_err(at_path("write", Path::new(INTENT)))?;
        Ok(Self(()))
    }

    fn fulfilled(self) -> io::Result<()> {
        let Self(()) = self;
        fs::remove_file(INTENT).map_err(at_path("remove", Path::new(INTENT)))
    }

    /// Removes what a dead run made and did not come to mark. Call it with the registry locked.
    fn sweep() -> io::Result<()> {
        let Ok(there) = fs::read(INTENT) else {
            return Ok(());
        };
        // A note that was cut short was written before anything was made.
        let there: BTreeSet<u32> = match serde_json::from_slice(&there) {
            Ok(there) => there,
            Err(_) => devices()?,
        };
        for number in devices()?.difference(&there) {
            let size = fs::read_to_string(setting(*number, "disksize"));
            if size.is_ok_and(|size| size.trim() == "0") && !claim_path(*number).exists() {
                remove(*number)?;
            }
        }
        Self(()).fulfilled()
    }
}

/// The numbers of all zram devices, whoever made them.
fn devices() -> io::Result<BTreeSet<u32>> {
    let failed = at_path("read", Path::new("/sys/block"));
    let mut devices = BTreeSet::new();
    for entry in fs::read_dir("/sys/block").map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        devices.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(devices)
}

/// Removes what dead runs left behind.
pub(super) fn sweep() -> io::Result<()> {
    if !Path::new(CLAIMS).exists() {
        return Ok(());
    }
    let _registry = registry()?;
    Intent::sweep()?;
    let failed = at_path("read", Path::new(CLAIMS));
    for entry in fs::read_dir(CLAIMS).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let Some(number) = number else {
            continue;
        };
        let claim = File::options().read(true).write(true).open(entry.path());
        let claim = claim.map_err(at_path("open", &entry.path()))?;
        match claim.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => {
                return Err(at_path("lock", &entry.path())(error));
            }
        }
        let claim = fs::read(entry.path()).map_err(at_path("read", &entry.path()))?;
        let ours = serde_json::from_slice(&claim).is_ok_and(|claim| is_ours(number, &claim));
        // Still in use by a process that a dead run started: then it is the next sweep's.
        if !ours || remove(number).is_ok() {
            fs::remove_file(entry.path()).map_err(at_path("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// What the file says that is named after a device.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// What is on its last page.
    mark: String,
    /// See [`object`].
    object: u64,
}

/// The inode by which the kernel tells one device from a later one of the same number.
fn object(number: u32) -> io::Result<u64> {
    let path = PathBuf::from(format!("/sys/block/zram{number}"));
    Ok(fs::metadata(&path).map_err(at_path("read", &path))?.ino())
}

/// Whether a device is the one that is claimed: it has the mark on its last page, or no page at all any
/// more and is the same object.
fn is_ours(number: u32, claim: &Claim) -> bool {
    let size = fs::read_to_string(setting(number, "disksize")).ok();
    let size: Option<u64> = size.and_then(|size| size.trim().parse().ok());
    match size {
        Some(0) => object(number).is_ok_and(|object| object == claim.object),
        Some(size) => bears(number, size, claim.mark.as_bytes()),
        None => false,
    }
}

/// Whether a device of this size has a mark on its last page.
fn bears(number: u32, size: u64, mark: &[u8]) -> bool {
    let last = size.checked_sub(PAGE_BYTES as u64);
    let device = open(Path::new(&format!("/dev/zram{number}")));
    let (Some(last), Ok(device), false) = (last, device, mark.is_empty()) else {
        return false;
    };
    let mut buffer = Buffer::new();
    let page = buffer.pages(1);
    device.read_exact_at(page, last).is_ok() && page.starts_with(mark)
}

fn remove(number: u32) -> io::Result<()> {
    while_busy(|| fs::write(setting(number, "reset"), "1"))?;
    while_busy(|| fs::write(Path::new(CONTROL).join("hot_remove"), number.to_string()))
}

fn setting(number: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/block/zram{number}/{name}"))
}

fn claim_path(number: u32) -> PathBuf {
    Path::new(CLAIMS).join(format!("{PREFIX}{number}"))
}

fn open(path: &Path) -> io::Result<File> {
    let options = File::options()
        .read(true)
        .write(true)
        .custom_flags(O_DIRECT)
        .open(path);
    options.map_err(at_path("open", path))
}

/// Keeps others out while devices are claimed or swept.
fn registry() -> io::Result<File> {
    fs::create_dir_all(CLAIMS).map_err(at_path("make", Path::new(CLAIMS)))?;
    let path = Path::new(CLAIMS).join("lock");
    let failed = at_path("lock", &path);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(&failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Memory that `O_DIRECT` takes.
#[derive(Debug)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn new() -> Self {
        Self(vec![0; (CHUNK_PAGES + 1) * PAGE_BYTES])
    }

    fn pages(&mut self, count: usize) -> &mut [u8] {
        let skip = self.0.as_ptr().align_offset(PAGE_BYTES);
        &mut self.0[skip..][..count * PAGE_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that had been reset and not yet removed when its owner was killed has neither size nor
    /// mark. The next run took it for somebody else's, forgot the claim, and the device stayed until the
    /// machine was started again.
    #[test]
    fn a_device_left_half_removed_is_removed_by_the_next_run() {
        let usable = is_there() && nix::unistd::geteuid().is_root();
        let Some(mut zram) = usable.then(|| Zram::create(1 << 20).ok()).flatten() else {
            eprintln!("a device left half removed: SKIPPED, it takes root and zram");
            return;
        };
        let number = zram.number;
        let made = object(number).expect("it is there");
        zram.device = None;
        // As `remove` begins.
        while_busy(|| fs::write(setting(number, "reset"), "1")).expect("not in use");
        zram.claim.unlock().expect("it was locked");
        // Killed.
        std::mem::forget(zram);
        sweep().expect("swept");
        assert_ne!(object(number).ok(), Some(made), "the device is there still");
    }
}
