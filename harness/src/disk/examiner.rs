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
use super::error::is_mount_refused;
use super::file_system::FileSystem;
use super::image::Image;
use super::mounted::Mounted;
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

    /// What the images are of.
    pub(crate) fn file_system(&self) -> &FileSystem {
        &self.file_system
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
        self.visit(image, false, look, || {}).map(|(said, _)| said)
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
        let (said, recording) = self.visit(image, true, look, || {})?;
        Ok((said, recording.expect("it was recorded")))
    }

    /// Mounts an image, recorded or not, shows it to `look`, and unmounts it. If it is in use by then,
    /// `let_go` is called, which may end what uses it.
    pub(crate) fn visit<R>(
        &mut self,
        image: &Image,
        record: bool,
        look: impl FnOnce(&Path) -> R,
        let_go: impl FnOnce(),
    ) -> io::Result<(R, Option<Recording>)> {
        if self.method == Method::Zram && !record {
            match self.loaded_zram(image) {
                Ok(zram) => return Ok((self.on_zram(zram, look, let_go)?, None)),
                // No memory for it, as a rule. FUSE keeps pages once that are in several images.
                Err(_) => self.method = Method::Fuse,
            }
        }
        self.on_fuse(image, record, look, let_go)
    }

    /// Whether what the images are on still works: if not, what failed there is no failure of a store. The
    /// next image gets another device.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        if let Some(error) = self.zram.as_ref().and_then(|zram| zram.check().err()) {
            self.zram = None;
            self.method = Method::Fuse;
            return Err(error);
        }
        if let Some(error) = self.fuse.as_ref().and_then(|disk| disk.check().err()) {
            self.fuse = None;
            return Err(error);
        }
        Ok(())
    }

    fn on_fuse<R>(
        &mut self,
        image: &Image,
        record: bool,
        look: impl FnOnce(&Path) -> R,
        let_go: impl FnOnce(),
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
        let looked = self.look(began, &path, look, let_go);
        let recording = disk.stop_recording();
        match looked {
            Ok(said) => {
                self.fuse = Some(disk);
                Ok((said, recording))
            }
            Err(error) => {
                if is_mount_refused(&error) {
                    self.fuse = Some(disk);
                    self.check()?;
                }
                Err(error)
            }
        }
    }

    /// A zram device with an image in place.
    fn loaded_zram(&mut self, image: &Image) -> io::Result<Zram> {
        let began = Instant::now();
        let mut zram = match self.zram.take() {
            Some(zram) if zram.bytes() == image.bytes() => zram,
            _ => Zram::create(image.bytes())?,
        };
        zram.load(image)?;
        self.spent.load += began.elapsed();
        Ok(zram)
    }

    fn on_zram<R>(
        &mut self,
        zram: Zram,
        look: impl FnOnce(&Path) -> R,
        let_go: impl FnOnce(),
    ) -> io::Result<R> {
        let path = zram.path().to_owned();
        let looked = self.look(Instant::now(), &path, look, let_go);
        match looked {
            Ok(said) => {
                self.zram = Some(zram);
                Ok(said)
            }
            Err(error) => {
                if is_mount_refused(&error) {
                    self.zram = Some(zram);
                    self.check()?;
                }
                Err(error)
            }
        }
    }

    fn look<R>(
        &mut self,
        began: Instant,
        device: &Path,
        look: impl FnOnce(&Path) -> R,
        let_go: impl FnOnce(),
    ) -> io::Result<R> {
        let loaded = Instant::now();
        let mounted: Mounted = self.file_system.mount(&self.site, device, &self.dir)?;
        let there = Instant::now();
        let said = look(mounted.path());
        let seen = Instant::now();
        mounted.unmount_after(let_go)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A site and a fresh file system, if this machine can.
    fn formatted(test: &str) -> Option<(Site, FileSystem, Image)> {
        let ext4 = FileSystem::ext4();
        let tried = || -> io::Result<(Site, Image)> {
            let site = Site::enter(&std::env::temp_dir())?;
            let clock = Arc::new(AtomicU64::new(0));
            let disk = Disk::new(&site, Image::zeros(ext4.bytes), clock)?;
            disk.format(&ext4)?;
            let image = disk.image();
            drop(disk);
            Ok((site, image))
        };
        match tried() {
            Ok((site, image)) => Some((site, ext4, image)),
            Err(why) => {
                eprintln!("{test}: SKIPPED, ext4 on a recorded disk is unavailable here: {why}");
                None
            }
        }
    }

    /// A store that reads what zram could not keep is not to blame.
    #[test]
    fn a_zram_device_without_memory_is_given_up() {
        let test = "a zram device without memory";
        let Some((site, ext4, image)) = formatted(test) else {
            return;
        };
        let mut examiner = Examiner::new(&site, &ext4).expect("an examiner");
        let Some(zram) = examiner.zram.as_ref() else {
            eprintln!("{test}: SKIPPED, there is no zram here");
            return;
        };
        let name = zram.path().file_name().expect("it is in /dev").to_owned();
        let limit = Path::new("/sys/block").join(name).join("mem_limit");
        // It is short of memory while a store recovers.
        examiner
            .with_mounted(&image, |dir| {
                std::fs::write(&limit, "4096").expect("a limit");
                let random: Vec<u8> = (0..1_u32 << 20).flat_map(u32::to_ne_bytes).collect();
                let file = File::create_new(dir.join("file")).expect("there is room");
                let written = (&file).write_all(&random).and_then(|()| file.sync_all());
                assert!(written.is_err(), "it has no memory");
            })
            .expect("mounted");
        let error = examiner.check().expect_err("requests have failed");
        assert!(error.to_string().contains("memory"), "{error}");
        assert_eq!(examiner.method(), Method::Fuse);
        examiner.with_mounted(&image, |_| ()).expect("on FUSE");
        examiner.check().expect("all went well");
    }

    #[test]
    fn a_disk_that_is_not_served_any_more_is_noticed() {
        let Some((site, ext4, image)) = formatted("a disk that is not served") else {
            return;
        };
        let method = Method::Fuse;
        let mut examiner = Examiner::with_method(&site, &ext4, method).expect("an examiner");
        examiner.with_mounted(&image, |_| ()).expect("mounted");
        examiner.check().expect("all went well");
        let disk = examiner.fuse.as_ref().expect("it was used");
        disk.stop_serving().expect("aborted");
        let error = examiner.check().expect_err("its server is gone");
        assert!(error.to_string().contains("serves"), "{error}");
        examiner.with_mounted(&image, |_| ()).expect("on another");
    }
}
