//! Names by which this process recognizes what it has made in the kernel.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::at_path;

/// What all our mounts and devices are called, with a process id behind it.
pub(super) const NAME: &str = "plugpull";

/// The environment variable with the order of a child process, by which it is known for one of ours.
pub(crate) const ORDER_VARIABLE: &str = "PLUGPULL_ORDER";

/// The name of this process's mounts and devices.
pub(super) fn name() -> String {
    format!("{NAME}-{}", std::process::id())
}

/// Tells one run of one process from all others that this kernel has seen since it was started: the
/// process id, in which namespace it means something, and when the process began.
pub(super) fn identity() -> io::Result<String> {
    let space = Path::new("/proc/self/ns/pid");
    let space = fs::metadata(space).map_err(at_path("read", space))?.ino();
    let stat = Path::new("/proc/self/stat");
    let text = fs::read_to_string(stat).map_err(at_path("read", stat))?;
    // The name in brackets may contain anything. Behind it, the start time is the 20th word.
    let words = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let began = words.split_whitespace().nth(19).unwrap_or("0");
    Ok(format!("{} in {space} since {began}", name()))
}
