//! Device nodes. A container may have a kernel with devices and a `/dev` without their nodes: then they
//! are made in the run's own place, never in `/dev`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::error::{at_path, doing};
use super::site::Site;

/// A kind of device that the disk needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    /// In `/dev`.
    pub(super) name: &'static str,
    /// Where the kernel says that it has it, and which numbers it has.
    sysfs: &'static str,
    /// The numbers that Linux has assigned to it for good.
    numbers: (u64, u64),
    /// How to get it.
    pub(super) advice: &'static str,
}

/// What serves a disk.
pub(super) const FUSE: Device = Device {
    name: "fuse",
    sysfs: "/sys/devices/virtual/misc/fuse/dev",
    numbers: (10, 229),
    advice: "`modprobe fuse`; in a container: --device=/dev/fuse",
};

/// What hands out loop devices.
pub(super) const LOOP_CONTROL: Device = Device {
    name: "loop-control",
    sysfs: "/sys/devices/virtual/misc/loop-control/dev",
    numbers: (10, 237),
    advice: "`modprobe loop`; in a container: --privileged",
};

/// The major number of loop devices.
const LOOP_MAJOR: u64 = 7;

impl Device {
    fn path(&self) -> PathBuf {
        Path::new("/dev").join(self.name)
    }

    /// Whether the kernel has it, with a node or without.
    pub(super) fn is_in_kernel(&self) -> bool {
        Path::new(self.sysfs).exists()
    }

    /// Whether it can be opened here. The answer says how.
    pub(super) fn opens(&self) -> Result<String, String> {
        let path = self.path();
        let shown = path.display();
        let Err(error) = File::options().read(true).write(true).open(&path) else {
            return Ok(format!("{shown} opens"));
        };
        if error.kind() == io::ErrorKind::NotFound && self.is_in_kernel() {
            return Ok(format!(
                "{shown} is missing; each run makes a node of its own"
            ));
        }
        Err(format!("{shown}: {error}; {}", self.advice))
    }

    /// A node for it: the one in `/dev`, or one of our own.
    pub(super) fn node(&self, site: &Site) -> io::Result<PathBuf> {
        let numbers = fs::read_to_string(self.sysfs).ok();
        let numbers = numbers.as_deref().and_then(parsed).unwrap_or(self.numbers);
        node(site, self.name, SFlag::S_IFCHR, numbers)
    }

    /// Opens its node.
    pub(super) fn open(&self, node: &Path) -> io::Result<File> {
        let opened = File::options().read(true).write(true).open(node);
        opened.map_err(doing(format!("open {} ({})", node.display(), self.advice)))
    }
}

/// A node for a loop device: the one in `/dev`, or one of our own.
pub(super) fn loop_node(site: &Site, number: u64) -> io::Result<PathBuf> {
    let name = format!("loop{number}");
    let numbers = fs::read_to_string(format!("/sys/block/{name}/dev")).ok();
    // Devices with partitions leave room between two numbers, which only the kernel knows.
    let numbers = numbers.as_deref().and_then(parsed);
    let numbers = numbers.unwrap_or((LOOP_MAJOR, number));
    node(site, &name, SFlag::S_IFBLK, numbers)
}

fn node(site: &Site, name: &str, kind: SFlag, numbers: (u64, u64)) -> io::Result<PathBuf> {
    let usual = Path::new("/dev").join(name);
    if usual.exists() {
        return Ok(usual);
    }
    let ours = site.node_path(name);
    let device = makedev(numbers.0, numbers.1);
    match mknod(&ours, kind, Mode::S_IRUSR | Mode::S_IWUSR, device) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(ours),
        Err(error) => {
            let what = format!("make a node for {}, which is missing, as", usual.display());
            Err(at_path(&what, &ours)(error))
        }
    }
}

/// `major:minor`, as sysfs has it.
fn parsed(numbers: &str) -> Option<(u64, u64)> {
    let (major, minor) = numbers.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
