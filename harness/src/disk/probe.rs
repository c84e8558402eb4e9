//! What of all this works on this machine: tried, not guessed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::unistd::geteuid;

use super::device::Disk;
use super::examiner::Method;
use super::file_system::{FileSystem, FileSystemKind};
use super::image::Image;
use super::nodes::{FUSE, LOOP_CONTROL};
use super::site::Site;

/// Whether a file system can be recorded and examined here; if not, what is missing and how to get
/// it. Makes one, in a directory below `base`, and mounts it.
///
/// # Errors
/// What is missing.
pub fn available(file_system: &FileSystem, base: &Path) -> Result<(), String> {
    root()?;
    file_system.available()?;
    let tried = || -> io::Result<()> {
        let site = Site::enter(base)?;
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock)?;
        disk.format(file_system)
    };
    tried().map_err(|error| error.to_string())
}

/// What is there and what is not, for a report: a name, and what is to be said.
pub fn features() -> Vec<(&'static str, Result<String, String>)> {
    let ok = |said: &str| Ok(said.to_owned());
    let mut features = vec![
        (
            "root",
            root().and_then(|()| ok("mounts and devices are allowed")),
        ),
        ("FUSE", FUSE.opens()),
        ("loop devices", LOOP_CONTROL.opens()),
    ];
    features.push((
        "zram",
        match Method::best() {
            Method::Zram => ok("crash states are examined there"),
            Method::Fuse => {
                Err("crash states are examined on FUSE, more slowly: `modprobe zram`".into())
            }
        },
    ));
    for kind in FileSystemKind::ALL {
        let found = FileSystem::new(kind).available();
        features.push((
            kind.name(),
            found.and_then(|()| ok("in the kernel, with its mkfs")),
        ));
    }
    features
}

fn root() -> Result<(), String> {
    if geteuid().is_root() {
        Ok(())
    } else {
        Err("only root may mount a disk: run it with sudo".to_owned())
    }
}
