//! A disk that can be formatted, mounted, recorded and broken.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::MsFlags;

use super::core::Core;
use super::error::doing;
use super::faults::FaultPlan;
use super::file_system::{FileSystem, sync};
use super::image::Image;
use super::loop_device::LoopDevice;
use super::mounted::Mounted;
use super::one_file::{FILE_NAME, OneFile};
use super::record::{Clock, Recording};
use super::serve::{Served, Serving};
use super::site::Site;

/// Requests that may be in progress at once when a disk is recorded: one more than a loop device
/// ever has, so that an arrival is noticed when it is one.
const RECORDER_THREADS: usize = 2;

/// A block device on an image in memory, in a [`Site`].
pub struct Disk {
    // Dropped in this order: the loop device lets go of the served file.
    device: LoopDevice,
    served: Served,
    core: Arc<Core>,
    dir: PathBuf,
    site: Site,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// Makes a disk that holds an image, and raises this clock while it is recorded.
    ///
    /// # Errors
    /// If FUSE or loop devices are not to be had; the error says what to do.
    pub fn new(site: &Site, image: Image, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::served_by(site, image, clock, RECORDER_THREADS)
    }

    pub(super) fn served_by(
        site: &Site,
        image: Image,
        clock: Arc<dyn Clock>,
        threads: usize,
    ) -> io::Result<Self> {
        let core = Arc::new(Core::new(image, clock));
        let served_in = site.dir("fuse")?;
        let serving = Serving {
            threads,
            options: "",
            flags: MsFlags::MS_NOEXEC,
            is_device: true,
            kept: Vec::new(),
        };
        let served = Served::start(OneFile(core.clone()), serving, Some(site), &served_in)?;
        let device = LoopDevice::bind(&served_in.join(FILE_NAME), site)?;
        Ok(Self {
            device,
            served,
            core,
            dir: site.dir("disk")?,
            site: site.clone(),
        })
    }

    /// Makes a file system on it, and mounts it once, so that what a first mount writes is behind.
    ///
    /// # Errors
    /// If `mkfs` is missing or fails, or the kernel does not mount what it made.
    pub fn format(&self, file_system: &FileSystem) -> io::Result<()> {
        file_system.make(self.device.path())?;
        let mounted = self.mount(file_system).map_err(|error| {
            // Fresh as it is, the image cannot be to blame.
            let options = match file_system.mount_options.as_str() {
                "" => String::new(),
                options => format!(" with the mount options '{options}'"),
            };
            doing(format!("mount a fresh {}{options}", file_system.kind))(error)
        })?;
        mounted.unmount()
    }

    /// Mounts it.
    ///
    /// # Errors
    /// If the kernel refuses: see [`is_mount_refused`](super::is_mount_refused).
    pub fn mount(&self, file_system: &FileSystem) -> io::Result<Mounted> {
        file_system.mount(&self.site, self.device.path(), &self.dir)
    }

    /// Mounts it, and records what a program does to it until the program returns. What was
    /// written before is durable when the recording begins.
    ///
    /// # Errors
    /// If it cannot be mounted, synced or unmounted. What the program says is passed on as it is.
    pub fn record<R>(
        &self,
        file_system: &FileSystem,
        program: impl FnOnce(&Path) -> R,
    ) -> io::Result<(R, Recording)> {
        let mounted = self.mount(file_system)?;
        sync(mounted.path())?;
        self.start_recording();
        let said = program(mounted.path());
        let recording = self.stop_recording().expect("it was begun above");
        mounted.unmount()?;
        Ok((said, recording))
    }

    /// Begins to record. What was recorded before is dropped.
    pub fn start_recording(&self) {
        self.core.start_recording();
    }

    /// Ends the recording, if there is one.
    pub fn stop_recording(&self) -> Option<Recording> {
        self.core.stop_recording()
    }

    /// What the disk holds.
    pub fn image(&self) -> Image {
        self.core.image()
    }

    /// Puts another image of the same size in place. It may not be mounted.
    ///
    /// # Errors
    /// If the kernel cannot be made to forget the other.
    pub fn load(&self, image: &Image) -> io::Result<()> {
        if image.bytes() != self.core.bytes() {
            let what = format!("load an image of {} bytes", image.bytes());
            let size = io::Error::other(format!("the disk has {}", self.core.bytes()));
            return Err(doing(what)(size));
        }
        self.core.load(image.clone());
        self.device.forget_cached()
    }

    /// Puts another image of the same size in place, to be recorded on a clock of its own, and forgets
    /// all planned faults: as good as a new disk, without the cost of one. It may not be mounted.
    ///
    /// # Errors
    /// The same as [`load`](Self::load).
    pub fn renew(&self, image: &Image, clock: Arc<dyn Clock>) -> io::Result<()> {
        self.load(image)?;
        self.core.set_clock(clock);
        self.core.plan_faults(FaultPlan::default());
        Ok(())
    }

    /// From now on it fails as planned.
    pub fn plan_faults(&self, plan: FaultPlan) {
        self.core.plan_faults(plan);
    }

    /// How many requests have failed since the plan was made.
    pub fn faults(&self) -> u64 {
        self.core.failed()
    }

    /// Whether the disk itself still works: if not, what failed on it is no failure of a store.
    ///
    /// # Errors
    /// If nothing serves it any more.
    pub fn check(&self) -> io::Result<()> {
        self.served.check(FILE_NAME)
    }

    /// What a death of the server leaves: every request fails.
    #[cfg(test)]
    pub(super) fn stop_serving(&self) -> io::Result<()> {
        self.served.abort(&self.site.dir("connections")?)
    }

    /// The block device.
    pub fn path(&self) -> &Path {
        self.device.path()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// The set of signals that a thread blocks, as `/proc` shows it.
    fn blocked(task: &Path) -> Option<u64> {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        Some(u64::from_str_radix(mask?.trim(), 16).expect("a number in base 16"))
    }

    /// Where its descriptor is not there, a handler of signals cannot tell anyone.
    #[test]
    fn no_signal_goes_to_a_thread_that_has_descriptors_of_its_own() {
        let served = || {
            let site = Site::enter(&std::env::temp_dir())?;
            let disk = Disk::new(&site, Image::zeros(1 << 20), Arc::new(AtomicU64::new(0)))?;
            io::Result::Ok((disk, site))
        };
        let _served = match served() {
            Ok(served) => served,
            Err(why) => {
                eprintln!("signals: SKIPPED, a served disk is unavailable here: {why}");
                return;
            }
        };
        let known = tempfile::NamedTempFile::new().expect("a file");
        let number = known.as_file().as_raw_fd().to_string();
        // A thread that is about to end has none at all.
        let has_its_own = |task: &Path| {
            let descriptor = |number: &str| fs::read_link(task.join("fd").join(number));
            let is_known = descriptor(&number).is_ok_and(|path| path == known.path());
            !is_known && descriptor("0").is_ok()
        };
        let tasks = fs::read_dir("/proc/self/task").expect("procfs");
        let tasks = tasks.map(|task| task.expect("readable").path());
        let masks: Vec<u64> = tasks
            .filter_map(|task| blocked(&task).filter(|_| has_its_own(&task)))
            .collect();
        assert!(masks.len() > RECORDER_THREADS, "{masks:?}");
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let is_blocked = |mask: &u64| mask & (1 << (signal - 1)) != 0;
            assert!(masks.iter().all(is_blocked), "{signal}: {masks:x?}");
        }
    }
}
