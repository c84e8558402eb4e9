//! A mounted file system, and its end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libc::O_EXCL;
use nix::mount::{MntFlags, umount2};

use super::error::at_path;
use super::holders::{Holder, end_ours, holders, holders_elsewhere};
use super::patience::{while_busy, while_busy_for};
use super::site::Site;

/// What is busy for longer is held by a process that does not let go by itself.
const MOMENT: Duration = Duration::from_millis(20);

/// A mounted file system.
#[derive(Debug)]
pub struct Mounted {
    /// None once it is unmounted.
    dir: Option<PathBuf>,
    device: PathBuf,
    /// By which its files are known.
    number: u64,
    /// Only there can it be unmounted.
    _site: Site,
}

impl Mounted {
    pub(super) fn new(site: &Site, device: &Path, dir: &Path) -> Self {
        Self {
            dir: Some(dir.to_owned()),
            device: device.to_owned(),
            number: fs::metadata(dir).map_or(0, |dir| dir.dev()),
            _site: site.clone(),
        }
    }

    /// Where it is mounted, as the thread that mounted it sees it, and all that this one starts.
    pub fn path(&self) -> &Path {
        self.dir.as_deref().expect("unmounting takes the value")
    }

    /// Unmounts it. Processes that this one has started, and that still use it, are killed.
    ///
    /// # Errors
    /// If it is in use all the same: a file in it is open, or a process works there. The error names the
    /// processes. It is gone all the same, as far as new users are concerned; its device is not free.
    pub fn unmount(self) -> io::Result<()> {
        self.unmount_after(|| {})
    }

    /// The same; if it is in use, `let_go` is called first, which may end such processes in its own way.
    pub(super) fn unmount_after(mut self, let_go: impl FnOnce()) -> io::Result<()> {
        let dir = self.dir.take().expect("unmounting takes the value");
        self.try_unmount(&dir, let_go).map_err(|error| {
            let used_by = told(&holders(self.number, &dir));
            umount2(&dir, MntFlags::MNT_DETACH).ok();
            at_path(&format!("unmount (in use by {used_by})"), &dir)(error)
        })?;
        self.see_it_gone(&dir)
    }

    fn try_unmount(&self, dir: &Path, let_go: impl FnOnce()) -> io::Result<()> {
        let once = || umount2(dir, MntFlags::UMOUNT_NOFOLLOW);
        if while_busy_for(MOMENT, once).is_ok() {
            return Ok(());
        }
        let_go();
        if while_busy_for(MOMENT, once).is_ok() {
            return Ok(());
        }
        end_ours(&holders(self.number, dir), dir);
        while_busy(once)
    }

    /// A process that has gone to a mount namespace of its own has taken a copy of the mount with it: then
    /// the file system lives on, and the next mount of its device would show it instead of the image.
    fn see_it_gone(&self, dir: &Path) -> io::Result<()> {
        let alone = || {
            let mut options = File::options();
            options.read(true).custom_flags(O_EXCL).open(&self.device)
        };
        if while_busy_for(MOMENT, alone).is_ok() {
            return Ok(());
        }
        end_ours(&holders_elsewhere(self.number), dir);
        while_busy(alone).map(drop).map_err(|error| {
            let used_by = told(&holders_elsewhere(self.number));
            let what = format!(
                "have the device back (mounted by {used_by}) of {}",
                dir.display()
            );
            at_path(&what, &self.device)(error)
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            // A caller that wants to hear of errors calls `unmount`. A file that a panic left open may
            // not keep the rest from being torn down.
            if while_busy(|| umount2(dir, MntFlags::UMOUNT_NOFOLLOW)).is_err() {
                umount2(dir, MntFlags::MNT_DETACH).ok();
            }
        }
    }
}

fn told(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "no process that can be seen; the kernel itself may, as for a loop device or a swap file"
            .to_owned();
    }
    let holders: Vec<String> = holders.iter().map(Holder::to_string).collect();
    holders.join(", ")
}
