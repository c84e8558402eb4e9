//! Whether a file's lock is held, on Linux, without taking it: a lock that is taken only to look would
//! refuse an owner that comes at that moment.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::fstatfs;

/// The inode of the initial PID namespace: the kernel's `PROC_PID_INIT_INO`.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// File systems of this machine alone: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, and overlays, whose
/// layers may not be written to past them.
const LOCAL: [u32; 7] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x0102_1994,
    0x794c_7630,
];

/// Whether an exclusive `flock` on the file is held. `Some(false)` only if that is certain: `None` if
/// `/proc` says nothing, or may not say all.
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
    let mut kinds = writers(&locks, &id);
    if kinds.clone().any(|kind| kind == "FLOCK") {
        return Some(true);
    }
    // An NFS server takes locks of another kind here for its clients' `flock`.
    let is_certain = kinds.next().is_none() && sees_all_processes() && is_local(file);
    is_certain.then_some(false)
}

/// The kinds of the exclusive locks on a file that `/proc/locks` shows.
fn writers<'a>(locks: &'a str, id: &'a str) -> impl Iterator<Item = &'a str> + Clone {
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF
    locks.lines().filter_map(move |line| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next()?;
        (words.nth(1) == Some("WRITE") && words.nth(1) == Some(id)).then_some(kind)
    })
}

/// Whether `/proc` shows the locks of all processes: it leaves out those of processes that have no
/// number in its PID namespace.
///
/// That our namespace is the initial one says the same of `/proc`: mounted for any other namespace,
/// it would not show this process, and there would be no `/proc/self`.
fn sees_all_processes() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|of| of.ino() == INITIAL_PID_NAMESPACE)
}

/// Whether the locks on a file are all this machine's: over a network, or from a virtual machine's
/// host, another machine may hold one that is not shown here.
fn is_local(file: &File) -> bool {
    let Ok(about) = fstatfs(file) else {
        return false;
    };
    u32::try_from(about.f_type).is_ok_and(|known| LOCAL.contains(&known))
}

#[cfg(test)]
mod tests {
    use super::{is_local, is_locked, sees_all_processes, writers};

    #[test]
    fn a_lock_that_is_seen_is_held_and_none_that_is_seen_proves_nothing_by_itself() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(dir.path().join("LOCK"))
            .unwrap();
        let is_certain = sees_all_processes() && is_local(&file);
        assert_eq!(is_locked(&file), is_certain.then_some(false));
        file.lock().unwrap();
        assert_eq!(is_locked(&file), Some(true));
        file.unlock().unwrap();
        assert_eq!(is_locked(&file), is_certain.then_some(false));
    }

    /// The kernel's own file systems stand for all that are not known to be local.
    #[test]
    fn of_an_unknown_file_system_nothing_is_certain() {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .open("/proc/self/status")
            .unwrap();
        assert_eq!(is_locked(&file), None);
    }

    #[test]
    fn only_exclusive_locks_of_the_file_count_and_no_requests_for_one() {
        let locks = "\
1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4712 fe:01:77 0 EOF
2: POSIX  ADVISORY  WRITE 900 fe:01:1234 0 EOF
3: FLOCK  ADVISORY  READ  901 fe:01:1234 0 EOF
4: FLOCK  ADVISORY  WRITE 902 fe:02:1234 0 EOF
";
        let kinds: Vec<&str> = writers(locks, "fe:01:1234").collect();
        assert_eq!(kinds, ["FLOCK", "POSIX"]);
        assert_eq!(writers(locks, "fe:01:77").count(), 0);
    }
}
