//! Mounts one crash image after another, fast.
//!
//! Most of the time goes into waking idle cores: every block I/O of a FUSE disk crosses three
//! threads. So a hint that keeps the cores from sleeping is held while an examiner lives, and a zram
//! device, whose I/O crosses none, is used where the kernel has it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::device::Disk;
use super::file_system::{FileSystem, Mounted};
use super::image::Image;
use super::record::Recording;
use super::site::Site;
use super::zram::{self, Zram};

/// On what images are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A FUSE file under a loop device. Works wherever recording works.
    Fuse,
    /// A zram device.
    Zram,
}

impl Method {
    /// The faster of those that the kernel has.
    pub fn best() -> Self {
        if zram::is_there() {
            Self::Zram
        } else {
            Self::Fuse
        }
    }
}

/// Where the time went, over all images so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// How many images were mounted.
    pub images: u64,
    /// Putting them in place.
    pub load: Duration,
    /// Mounting them, the replay of the journal included.
    pub mount: Duration,
    /// In the caller's hands.
    pub look: Duration,
    /// Unmounting them.
    pub unmount: Duration,
}

/// Mounts images of one file system in a [`Site`].
#[derive(Debug)]
pub struct Examiner {
    site: Site,
    file_system: FileSystem,
    method: Method,
    dir: PathBuf,
    /// None until it is needed, and after it was left in use by somebody.
    zram: Option<Zram>,
    fuse: Option<Disk>,
    /// Keeps the cores awake while it is open.
    awake: Option<File>,
    spent: Spent,
}

impl Examiner {
    /// An examiner that works in the fastest way which this machine has.
    ///
    /// # Errors
    /// If no directory can be made.
    pub fn new(site: &Site, file_system: &FileSystem) -> io::Result<Self> {
        let mut examiner = Self::with_method(site, file_system, Method::best())?;
        if examiner.method == Method::Zram {
            match Zram::create(file_system.bytes) {
                Ok(zram) => examiner.zram = Some(zram),
                // A container may see what it may not use.
                Err(_) => examiner.method = Method::Fuse,
            }
        }
        Ok(examiner)
    }

    /// An examiner that works in a certain way.
    ///
    /// # Errors
    /// If no directory can be made.
    pub fn with_method(site: &Site, file_system: &FileSystem, method: Method) -> io::Result<Self> {
        Ok(Self {
            site: site.clone(),
            file_system: file_system.clone(),
            method,
            dir: site.dir("image")?,
            zram: None,
            fuse: None,
            awake: stay_awake().ok(),
            spent: Spent::default(),
        })
    }

    /// Lets the cores sleep between I/Os: slower, and kinder to a laptop.
    #[must_use]
    pub fn sleepy(mut self) -> Self {
        self.awake = None;
        self
    }

    /// On what images are mounted.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where the time went.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Mounts an image, shows it to `look`, and unmounts it. The image stays as it is.
    ///
    /// # Errors
    /// If the kernel does not mount it, which [`is_mount_refused`](super::is_mount_refused) tells
    /// from trouble of our own; or if a file in it is left open.
    pub fn with_mounted<R>(
        &mut self,
        image: &Image,
        look: impl FnOnce(&Path) -> R,
    ) -> io::Result<R> {
        match self.method {
            Method::Fuse => self.on_fuse(image, look, false).map(|(said, _)| said),
            Method::Zram => self.on_zram(image, look),
        }
    }

    /// As [`with_mounted`](Self::with_mounted), and records what was written from before the mount
    /// to after the unmount: a crash in the replay of the journal, in the recovery that `look` runs,
    /// and after it, are then states of the recording. Always on FUSE.
    ///
    /// # Errors
    /// The same.
    pub fn with_mounted_recorded<R>(
        &mut self,
        image: &Image,
        look: impl FnOnce(&Path) -> R,
    ) -> io::Result<(R, Recording)> {
        let (said, recording) = self.on_fuse(image, look, true)?;
        Ok((said, recording.expect("it was recorded")))
    }

    fn on_fuse<R>(
        &mut self,
        image: &Image,
        look: impl FnOnce(&Path) -> R,
        record: bool,
    ) -> io::Result<(R, Option<Recording>)> {
        let began = Instant::now();
        // What went wrong may have left the disk in use: it comes back only when all went well.
        let disk = match self.fuse.take() {
            Some(disk) if disk.image().bytes() == image.bytes() => disk,
            _ => {
                let clock = Arc::new(AtomicU64::new(0));
                Disk::served_by(&self.site, image.clone(), clock, 1)?
            }
        };
        disk.load(image)?;
        if record {
            disk.start_recording();
        }
        let path = disk.path().to_owned();
        let looked = self.look(began, &path, look);
        let recording = disk.stop_recording();
        if looked
            .as_ref()
            .map_or_else(super::is_mount_refused, |_| true)
        {
            self.fuse = Some(disk);
        }
        Ok((looked?, recording))
    }

    fn on_zram<R>(&mut self, image: &Image, look: impl FnOnce(&Path) -> R) -> io::Result<R> {
        let began = Instant::now();
        let mut zram = match self.zram.take() {
            Some(zram) if zram.bytes() == image.bytes() => zram,
            _ => Zram::create(image.bytes())?,
        };
        zram.load(image)?;
        let path = zram.path().to_owned();
        let looked = self.look(began, &path, look);
        if looked
            .as_ref()
            .map_or_else(super::is_mount_refused, |_| true)
        {
            self.zram = Some(zram);
        }
        looked
    }

    fn look<R>(
        &mut self,
        began: Instant,
        device: &Path,
        look: impl FnOnce(&Path) -> R,
    ) -> io::Result<R> {
        let loaded = Instant::now();
        let mounted: Mounted = self.file_system.mount(&self.site, device, &self.dir)?;
        let there = Instant::now();
        let said = look(mounted.path());
        let seen = Instant::now();
        mounted.unmount()?;
        let spent = &mut self.spent;
        spent.images += 1;
        spent.load += loaded - began;
        spent.mount += there - loaded;
        spent.look += seen - there;
        spent.unmount += seen.elapsed();
        Ok(said)
    }
}

/// Asks the kernel to wake up within 0 microseconds, as long as the file is open.
fn stay_awake() -> io::Result<File> {
    let mut file = File::options().write(true).open("/dev/cpu_dma_latency")?;
    file.write_all(&0_i32.to_ne_bytes())?;
    Ok(file)
}
