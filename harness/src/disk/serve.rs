//! A disk as the kernel sees it: a FUSE file system with one file.
//!
//! The file bypasses the page cache, so that whatever the kernel does to it arrives here: writes,
//! fsync for a flush, fallocate for a discard or a write of zeros.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Session, SessionACL, WriteFlags,
};
use nix::fcntl::FallocateFlags;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;

use super::core::Core;
use super::error::{at_path, doing};
use super::identity;
use super::nodes::FUSE;
use super::patience::while_busy;
use super::record::Request;
use super::site::Site;
use super::sys;

/// The file's name in its file system.
pub(super) const FILE_NAME: &str = "disk";

const FILE: INodeNo = INodeNo(2);
/// The kernel may believe what it knows about the file for so long: it never changes.
const FOREVER: Duration = Duration::from_secs(1 << 30);
/// The largest write that the kernel may send in one piece.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// A served disk. It ends when nobody uses the file any more.
pub(super) struct Served {
    dir: std::path::PathBuf,
    server: JoinHandle<io::Result<()>>,
}

impl Served {
    /// Mounts the file system on a directory, in the mount namespace of the calling thread.
    pub(super) fn start(
        core: Arc<Core>,
        site: &Site,
        dir: &Path,
        threads: usize,
    ) -> io::Result<Self> {
        let (started, result) = mpsc::channel();
        let (at, outside) = (dir.to_owned(), site.outside());
        let node = FUSE.node(site)?;
        let server = thread::Builder::new()
            .name("plugpull-disk".to_owned())
            .spawn(move || {
                match connect(core, &node, &at, &outside, threads) {
                    Ok(session) => {
                        // Nobody waits if the other side is gone; then the mount is about to go too.
                        started.send(Ok(())).ok();
                        session.run()
                    }
                    Err(error) => {
                        started.send(Err(error)).ok();
                        Ok(())
                    }
                }
            });
        let server = server.map_err(doing("start a thread for the disk"))?;
        let failed = at_path("serve a disk in", dir);
        let ended = |_| io::Error::other("its thread has ended");
        let started = result.recv().map_err(ended).and_then(|started| started);
        started.map_err(|error| {
            umount2(dir, MntFlags::MNT_DETACH).ok();
            failed(error)
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            server,
        })
    }
}

impl Served {
    /// Whether the disk is still served.
    ///
    /// # Errors
    /// If the thread that serves it has ended: everything on the disk fails since, whatever a store does.
    pub(super) fn check(&self) -> io::Result<()> {
        let path = self.dir.join(FILE_NAME);
        let read = File::open(&path).and_then(|file| file.read_at(&mut [0], 0));
        let advice = "read from the disk that this process serves (nothing that failed on it is the \
                      store's failure) as";
        read.map(drop).map_err(at_path(advice, &path))
    }
}

#[cfg(test)]
impl Served {
    /// Makes the kernel end the connection, by way of a control file system mounted on `control`.
    pub(super) fn abort(&self, control: &Path) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let connection = nix::sys::stat::minor(std::fs::metadata(&self.dir)?.dev());
        let none = None::<&str>;
        mount(none, control, Some("fusectl"), MsFlags::empty(), none)?;
        let abort = control.join(connection.to_string()).join("abort");
        std::fs::write(abort, "1")?;
        Ok(umount2(control, MntFlags::empty())?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if while_busy(|| umount2(&self.dir, MntFlags::UMOUNT_NOFOLLOW)).is_ok() {
            // It has nothing to say that could be acted upon here. It never ends while a process has a copy
            // of the mount in a namespace of its own: then it goes with this process.
            let ended = || {
                if self.server.is_finished() {
                    Ok(())
                } else {
                    Err(nix::errno::Errno::EBUSY)
                }
            };
            while_busy(ended).ok();
        } else {
            // Somebody still uses the disk: it goes, and the server with it, when they are done.
            umount2(&self.dir, MntFlags::MNT_DETACH).ok();
        }
    }
}

/// Opens FUSE in a thread that owns nothing else, mounts, and goes where the mount is not.
///
/// # Why it leaves
/// The last thread in a mount namespace unmounts what is in it, as it dies. If that were a thread
/// with the FUSE descriptor, it would wait for itself: the kernel unmounts first and closes then.
///
/// # Why it takes no signal
/// The kernel gives a signal to any thread of the process that does not block it, and a handler usually
/// writes to a pipe. Here the number of that pipe is closed, or is the descriptor of FUSE: the signal would
/// be lost. The threads of the session inherit the mask.
fn connect(
    core: Arc<Core>,
    node: &Path,
    dir: &Path,
    outside: &Path,
    threads: usize,
) -> io::Result<Session<OneFile>> {
    SigSet::all()
        .thread_block()
        .map_err(doing("block signals in the thread that serves a disk"))?;
    sys::leave_descriptors().map_err(doing("have descriptors of its own (Linux 5.9 is needed)"))?;
    // Takes CAP_SYS_RESOURCE, which not every root has. Without it, all that is lost is what the
    // kernel does for such a server when memory is all but used up.
    sys::serve_block_device().ok();
    let outside = File::open(outside).map_err(at_path("open", outside))?;
    let device = OwnedFd::from(FUSE.open(node)?);
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let source = Some(identity::name());
    mount(source.as_deref(), dir, Some("fuse"), flags, Some(&*options))
        .map_err(doing("mount FUSE"))?;
    unshare(CloneFlags::CLONE_FS)
        .and_then(|()| setns(&outside, CloneFlags::CLONE_NEWNS))
        .map_err(doing("leave the mounts"))?;
    let mut config = Config::default();
    config.n_threads = Some(threads);
    Session::from_fd(OneFile(core), device, SessionACL::All, config)
}

/// A directory with one file in it.
struct OneFile(Arc<Core>);

impl OneFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        let bytes = if is_file { self.0.bytes() } else { 0 };
        let time = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino: inode,
            size: bytes,
            blocks: bytes / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: if is_file {
                FileType::RegularFile
            } else {
                FileType::Directory
            },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn is_inside(&self, offset: u64, bytes: u64) -> bool {
        offset
            .checked_add(bytes)
            .is_some_and(|end| end <= self.0.bytes())
    }
}

impl Filesystem for OneFile {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that wants less has said so and gets it.
        config.set_max_write(WRITE_BYTES_MAX).ok();
        Ok(())
    }

    fn lookup(&self, _: &fuser::Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == FILE_NAME {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &fuser::Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let direct = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(0), direct | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = u64::from(size).min(self.0.bytes().saturating_sub(offset));
        let mut buffer = vec![0; super::image::index(bytes)];
        self.0.read(offset, &mut buffer);
        reply.data(&buffer);
    }

    fn write(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let arrived = self.0.arrive();
        let size = u32::try_from(data.len());
        let Some(size) = size
            .ok()
            .filter(|size| self.is_inside(offset, u64::from(*size)))
        else {
            return reply.error(Errno::ENOSPC);
        };
        let fua = flags.0 & libc::O_DSYNC != 0;
        match self.0.carry_out(arrived, Request::write(offset, data, fua)) {
            Ok(()) => reply.written(size),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let arrived = self.0.arrive();
        match self.0.carry_out(arrived, Request::flush()) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fallocate(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let arrived = self.0.arrive();
        let mode = FallocateFlags::from_bits_retain(mode);
        let zeros = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        if !mode.intersects(zeros) || !self.is_inside(offset, bytes) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        match self.0.carry_out(arrived, Request::zero(offset, bytes)) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}
