//! Who holds a file's lock, on Linux, without taking it: a lock that is taken only to look would
//! refuse an owner who comes at that moment.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

/// Whether an exclusive `flock` on the file is held by a process that `/proc` lets us see. `None` if
/// `/proc` does not say.
///
/// `/proc/locks` names a file by its file system's device and its inode there, which are not always
/// those of `stat` (Btrfs, overlays); the descriptor's own entry in `/proc` leads to them.
pub(super) fn is_locked(file: &File) -> Option<bool> {
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let field = |name: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let (mount, inode) = (field("mnt_id:")?, field("ino:")?);
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (major, minor) = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let found = words.next()? == mount;
        // The second word is the parent mount.
        let (major, minor) = words.nth(1)?.split_once(':')?;
        found.then(|| (major.to_owned(), minor.to_owned()))
    })?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let id = format!("{major:02x}:{minor:02x}:{inode}");
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF
    let held = locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("FLOCK")
            && words.nth(1) == Some("WRITE")
            && words.nth(1) == Some(id.as_str())
    });
    Some(held)
}
