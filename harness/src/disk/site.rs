//! Where disks are mounted: a place that nobody else sees, and that goes with us.
//!
//! # What a SIGKILL leaves
//! Everything is mounted in a mount namespace of its own, which the kernel tears down with the last
//! thread in it. A loop device is bound with the flag that frees it when its last user is gone, in
//! the same step. The server of a FUSE disk lives outside the namespace, with descriptors that no
//! other thread has, so that its death fails what is unanswered and it waits for nothing itself (see
//! [`leave_descriptors`]). What is left is an empty directory, which the next run removes: nobody
//! holds its lock.
//!
//! Nobody else's mounts are ever touched: the namespace is a copy, and what is done in it stays in
//! it.
//!
//! [`leave_descriptors`]: super::sys::leave_descriptors

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chroot, fchdir, gettid};

use super::error::{at_path, doing};
use super::identity::{self, NAME};
use super::zram;
use crate::scratch::Scratch;

/// A private mount namespace for the calling thread.
///
/// Threads and processes that this thread starts see what is mounted here; threads that were there
/// before do not. When the last clone is dropped, the thread is back where it was.
///
/// It stays with its thread:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<plugpull::disk::Site>();
/// ```
#[derive(Clone, Debug)]
pub struct Site(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    scratch: Scratch,
    /// The namespace to go back to, and the root and the current directory in it.
    before: File,
    root_before: File,
    current: Option<PathBuf>,
    names: Cell<u32>,
}

impl Site {
    /// Takes the calling thread into a namespace of its own, with a directory below `base`. Removes
    /// what dead runs left there.
    ///
    /// # Errors
    /// If that is not allowed: it takes root.
    pub fn enter(base: &Path) -> io::Result<Self> {
        zram::sweep()?;
        let scratch = Scratch::create(base).map_err(at_path("make a directory in", base))?;
        let before = Path::new("/proc/thread-self/ns/mnt");
        let before = File::open(before).map_err(at_path("open", before))?;
        let root_before = File::open("/").map_err(doing("open the root directory"))?;
        let current = std::env::current_dir().ok();
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).map_err(doing(
            "have mounts of its own (be root; in a container: --privileged)",
        ))?;
        let inner = Inner {
            scratch,
            before,
            root_before,
            current,
            names: Cell::new(0),
        };
        inner.set_up()?;
        Ok(Self(Rc::new(inner)))
    }

    /// A new directory to mount something on.
    pub(super) fn dir(&self, what: &str) -> io::Result<PathBuf> {
        let number = self.0.names.get();
        self.0.names.set(number + 1);
        let dir = self.0.root().join(format!("{what}-{number}"));
        fs::create_dir(&dir).map_err(at_path("make", &dir))?;
        Ok(dir)
    }

    /// Where a device node of our own may be made.
    pub(super) fn node_path(&self, name: &str) -> PathBuf {
        self.0.root().join(name)
    }

    /// The namespace that the thread came from, as a path that all threads of this process can open.
    pub(super) fn outside(&self) -> PathBuf {
        let descriptor = self.0.before.as_raw_fd();
        PathBuf::from(format!("/proc/self/task/{}/fd/{descriptor}", gettid()))
    }
}

impl Inner {
    fn root(&self) -> PathBuf {
        self.scratch.path().join("mounts")
    }

    fn set_up(&self) -> io::Result<()> {
        // What others unmount is unmounted here too, and nothing gets out.
        let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
            .map_err(doing(
                "keep its mounts to itself (if this is a chroot: run it outside, or in a root directory that is \
                 a mount)",
            ))?;
        forget_inherited()?;
        let root = self.root();
        fs::create_dir(&root).map_err(at_path("make", &root))?;
        let options = Some("mode=700,size=1m");
        // Without `nodev`: device nodes of our own work there, see `nodes`.
        mount(
            Some(&*identity::name()),
            &root,
            Some("tmpfs"),
            MsFlags::empty(),
            options,
        )
        .map_err(at_path("mount a tmpfs on", &root))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // All that can be done about an error is to leave it to the kernel, which removes all of it
        // with the namespace.
        umount2(&self.root(), MntFlags::MNT_DETACH).ok();
        if setns(&self.before, CloneFlags::CLONE_NEWNS).is_ok() {
            // The kernel has made the root of the namespace the thread's own, which a chroot is not.
            let is_back = fchdir(&self.root_before).and_then(|()| chroot("."));
            if let (Ok(()), Some(current)) = (is_back, &self.current) {
                std::env::set_current_dir(current).ok();
            }
        }
    }
}

/// The thread that started this one may have been in such a place as well; the copies of its
/// mounts would keep its disks busy.
fn forget_inherited() -> io::Result<()> {
    let mounts = Path::new("/proc/thread-self/mountinfo");
    let mounts = fs::read_to_string(mounts).map_err(at_path("read", mounts))?;
    let prefix = format!("{NAME}-");
    for line in mounts.lines() {
        // `id parent device root point options.. - type source options`
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let ours = right
            .split(' ')
            .nth(1)
            .is_some_and(|source| source.starts_with(&prefix));
        if let (true, "tmpfs", Some(point)) = (
            ours,
            right.split(' ').next().unwrap_or(""),
            left.split(' ').nth(4),
        ) {
            // With all that is mounted below it. A path with blanks is quoted there and not
            // found here: then the disk is only busy for longer.
            umount2(point, MntFlags::MNT_DETACH).ok();
        }
    }
    Ok(())
}
