//! A system call that touches the watched directory, in words.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Opens a file with `O_CREAT` or `O_TRUNC`.
    Create,
    /// Writes bytes to a file.
    Write,
    /// Writes bytes that come from another file or a pipe. A `splice` is not held back: its pipe
    /// may be waiting for another thread.
    Copy,
    /// Asks for durability: of a file, a range, a mapping or the file system.
    Sync,
    /// Sets a file's length.
    Resize,
    /// `fallocate`: room, holes, zeroes.
    Allocate,
    /// Renames or exchanges.
    Rename,
    /// Makes a hard or a symbolic link.
    Link,
    /// Removes a name.
    Remove,
    /// Makes a directory.
    MakeDir,
    /// Makes a FIFO, a socket or a device.
    MakeNode,
    /// Sets a mode, an owner, times or an extended attribute.
    Attributes,
    /// Maps a file that is open for writing, shared: from then on, its bytes change without a call.
    Map,
    /// Hands requests for files in the directory to `io_submit`. The kernel carries them out while every
    /// thread is stopped: no snapshot is valid while any are in flight.
    AsyncIo,
    /// Hands requests to `io_uring`. Which files they touch is not known, so every one is reported,
    /// whatever the directory, and it is never held back: it may wait for another thread. The
    /// kernel carries requests out while every thread is stopped, so **no snapshot is valid while
    /// any are in flight**. [`Tracer::wait_in_rings`](super::Tracer::wait_in_rings) makes an exception.
    IoUring,
}

/// What is durable once a call has ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The file's bytes, and what it takes to read them: fdatasync, `O_DSYNC`, `RWF_DSYNC`, msync.
    Data,
    /// The file, or the directory: fsync, `O_SYNC`, `RWF_SYNC`.
    File,
    /// All files of the file system: sync, syncfs.
    FileSystem,
}

/// A system call, stopped before it begins or after it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub(super) thread: i32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) fd: Option<i32>,
    pub(super) file: Option<(u64, u64)>,
    pub(super) paths: Vec<PathBuf>,
    pub(super) offset: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) flags: Option<u64>,
    pub(super) syncs: Option<Durability>,
    pub(super) number: u64,
    pub(super) arguments: [u64; 6],
}

impl Call {
    /// The id of the thread that makes it.
    pub fn thread(&self) -> i32 {
        self.thread
    }

    /// Its number, on this architecture.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its name, such as `pwrite64`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The descriptor it works on, if it has one.
    pub fn fd(&self) -> Option<i32> {
        self.fd
    }

    /// Device and inode number of the file that it works on through a descriptor.
    pub fn file(&self) -> Option<(u64, u64)> {
        self.file
    }

    /// The files it touches, in the order of its arguments: relative to the watched directory if
    /// they are in it (the directory itself is empty), else absolute.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Where in the file it begins, in bytes: the end, if the file is open for appending.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// How many bytes it covers; of [`Kind::Resize`], the new length of the file; of
    /// [`Kind::IoUring`], how many requests it hands over.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Its flags, if it takes any; of an `ioctl`, which one it is.
    pub fn flags(&self) -> Option<u64> {
        self.flags
    }

    /// What is durable once it has ended well; nothing of `sync_file_range` and `MS_ASYNC`, which promise
    /// nothing.
    pub fn syncs(&self) -> Option<Durability> {
        self.syncs
    }

    /// It may wait for another thread, so it is never held back, and no other call is held back for it: another
    /// call may begin or end while it is carried out. See [`Kind::Copy`] and [`Kind::IoUring`].
    pub fn overlaps_others(&self) -> bool {
        // One end of a splice is a pipe, and if this one was reported, it is where it reads.
        self.kind == Kind::IoUring || u64::try_from(libc::SYS_splice) == Ok(self.number)
    }

    /// Hands requests to `io_uring`.
    pub(super) fn hands_over(&self) -> bool {
        self.kind == Kind::IoUring && self.length.is_some_and(|requests| requests > 0)
    }

    /// Whether it can be cut short: [`Decision::Shorten`](super::Decision) and
    /// [`Decision::ShortenThenKill`](super::Decision).
    pub fn can_shorten(&self) -> bool {
        matches!(self.kind, Kind::Write | Kind::Copy)
    }
}

/// As in `pwrite64(00000000000000000000.seg, 4096 bytes at 8192)`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, path) in self.paths.iter().enumerate() {
            let shown = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            let arrow = if index == 0 { "" } else { " -> " };
            write!(f, "{arrow}{}", shown.display())?;
        }
        match (self.kind, self.length, self.offset) {
            (Kind::IoUring, Some(requests), _) => write!(f, "{requests} requests")?,
            (Kind::Resize, Some(length), _) => write!(f, ", to {length} bytes")?,
            (_, Some(length), Some(offset)) => write!(f, ", {length} bytes at {offset}")?,
            (_, Some(length), None) => write!(f, ", {length} bytes")?,
            (_, None, _) => {}
        }
        if let (Kind::Create, Some(flags)) = (self.kind, self.flags) {
            let flags = OFlag::from_bits_truncate(as_int(flags));
            let shown = [
                (OFlag::O_CREAT, "create"),
                (OFlag::O_EXCL, "new"),
                (OFlag::O_TRUNC, "truncate"),
            ];
            for (_, word) in shown.iter().filter(|(flag, _)| flags.contains(*flag)) {
                write!(f, ", {word}")?;
            }
        }
        write!(f, ")")
    }
}

/// Descriptors and flags are ints: only the lower half of the register counts.
pub(super) fn as_int(argument: u64) -> i32 {
    let low = u32::try_from(argument & u64::from(u32::MAX)).expect("masked");
    low.cast_signed()
}
