//! The system calls that are looked at, and where each keeps its arguments.

use super::call::Kind;

/// How a call is read. Numbers are indexes of arguments.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) number: libc::c_long,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The descriptor that is written, synced or resized.
    pub(super) fd: Option<usize>,
    pub(super) paths: &'static [PathArgument],
    pub(super) length: Length,
    pub(super) offset: Offset,
    pub(super) flags: Flags,
    /// It is of interest if all of one of these are so; always, if there are none.
    pub(super) only: &'static [&'static [Bits]],
}

/// Some bits of an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    pub(super) argument: usize,
    pub(super) mask: u64,
    pub(super) are: u64,
}

#[derive(Debug)]
pub(super) struct PathArgument {
    /// What a relative path starts from; without it, the working directory.
    pub(super) base: Option<usize>,
    pub(super) path: usize,
    /// Whether a symbolic link at the end is followed.
    pub(super) follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    None,
    In(usize),
    /// The sum over an array of iovecs; the argument after it counts them.
    Vectored(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    None,
    /// The file's own position.
    Position,
    /// The argument, or the file's own position if it is -1.
    In(usize),
    /// Where the argument points to, or the file's own position if it is null.
    Behind(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    None,
    In(usize),
    /// The first word of the structure that the argument points to.
    Behind(usize),
    /// Implied by the call.
    Are(i32),
}

const fn call(number: libc::c_long, name: &'static str, kind: Kind) -> Signature {
    Signature {
        number,
        name,
        kind,
        fd: None,
        paths: &[],
        length: Length::None,
        offset: Offset::None,
        flags: Flags::None,
        only: &[],
    }
}

impl Signature {
    const fn fd(mut self, index: usize) -> Self {
        self.fd = Some(index);
        self
    }

    const fn paths(mut self, paths: &'static [PathArgument]) -> Self {
        self.paths = paths;
        self
    }

    const fn range(mut self, length: Length, offset: Offset) -> Self {
        self.length = length;
        self.offset = offset;
        self
    }

    const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    const fn only(mut self, only: &'static [&'static [Bits]]) -> Self {
        self.only = only;
        self
    }

    pub(super) fn of(number: u64) -> Option<&'static Self> {
        TABLE
            .iter()
            .find(|signature| u64::try_from(signature.number) == Ok(number))
    }
}

const fn at_cwd(path: usize) -> PathArgument {
    PathArgument {
        base: None,
        path,
        follow: false,
    }
}

const fn at(base: usize, path: usize) -> PathArgument {
    PathArgument {
        base: Some(base),
        path,
        follow: false,
    }
}

const fn following(base: Option<usize>, path: usize) -> PathArgument {
    PathArgument {
        base,
        path,
        follow: true,
    }
}

const fn bits(argument: usize, mask: u64, are: u64) -> Bits {
    Bits {
        argument,
        mask,
        are,
    }
}

/// `FICLONE` and `FICLONERANGE`, the requests that make a file share another one's blocks. Both are made of
/// the size of their argument, so that their numbers are the same everywhere.
const CLONES: [&[Bits]; 2] = [
    &[bits(1, u32::MAX as u64, 0x4004_9409)],
    &[bits(1, u32::MAX as u64, 0x4020_940d)],
];

/// Mappings of a file (its descriptor is not negative) that are shared.
const SHARED_FILES: [&[Bits]; 1] = [&[
    bits(3, libc::MAP_SHARED as u64, libc::MAP_SHARED as u64),
    bits(4, 1 << 31, 0),
]];

/// Numbers above 423 are the same on all architectures; libc does not have these yet.
const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

/// Also what the filter is made of: a call that is not here never stops.
#[rustfmt::skip]
pub(super) static TABLE: &[Signature] = &[
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_open, "open", Kind::Create).paths(&[following(None, 0)]).flags(Flags::In(1)),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_creat, "creat", Kind::Create).paths(&[following(None, 0)])
        .flags(Flags::Are(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC)),
    call(libc::SYS_openat, "openat", Kind::Create).paths(&[following(Some(0), 1)])
        .flags(Flags::In(2)),
    call(libc::SYS_openat2, "openat2", Kind::Create).paths(&[following(Some(0), 1)])
        .flags(Flags::Behind(2)),

    call(libc::SYS_write, "write", Kind::Write).fd(0).range(Length::In(2), Offset::Position),
    call(libc::SYS_pwrite64, "pwrite64", Kind::Write).fd(0).range(Length::In(2), Offset::In(3)),
    call(libc::SYS_writev, "writev", Kind::Write).fd(0)
        .range(Length::Vectored(1), Offset::Position),
    call(libc::SYS_pwritev, "pwritev", Kind::Write).fd(0)
        .range(Length::Vectored(1), Offset::In(3)),
    call(libc::SYS_pwritev2, "pwritev2", Kind::Write).fd(0)
        .range(Length::Vectored(1), Offset::In(3)).flags(Flags::In(5)),

    call(libc::SYS_copy_file_range, "copy_file_range", Kind::Copy).fd(2)
        .range(Length::In(4), Offset::Behind(3)),
    call(libc::SYS_sendfile, "sendfile", Kind::Copy).fd(0)
        .range(Length::In(3), Offset::Position),
    call(libc::SYS_splice, "splice", Kind::Copy).fd(2).range(Length::In(4), Offset::Behind(3)),

    call(libc::SYS_ioctl, "ioctl", Kind::Copy).fd(0).flags(Flags::In(1)).only(&CLONES),

    call(libc::SYS_fsync, "fsync", Kind::Sync).fd(0),
    call(libc::SYS_fdatasync, "fdatasync", Kind::Sync).fd(0),
    call(libc::SYS_syncfs, "syncfs", Kind::Sync).fd(0),
    call(libc::SYS_sync, "sync", Kind::Sync),
    call(libc::SYS_sync_file_range, "sync_file_range", Kind::Sync).fd(0)
        .range(Length::In(2), Offset::In(1)).flags(Flags::In(3)),
    // Its path is found behind its address.
    call(libc::SYS_msync, "msync", Kind::Sync).range(Length::In(1), Offset::None)
        .flags(Flags::In(2)),

    call(libc::SYS_truncate, "truncate", Kind::Resize).paths(&[following(None, 0)])
        .range(Length::In(1), Offset::None),
    call(libc::SYS_ftruncate, "ftruncate", Kind::Resize).fd(0)
        .range(Length::In(1), Offset::None),
    call(libc::SYS_fallocate, "fallocate", Kind::Allocate).fd(0)
        .range(Length::In(3), Offset::In(2)).flags(Flags::In(1)),

    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_rename, "rename", Kind::Rename).paths(&[at_cwd(0), at_cwd(1)]),
    call(libc::SYS_renameat, "renameat", Kind::Rename).paths(&[at(0, 1), at(2, 3)]),
    call(libc::SYS_renameat2, "renameat2", Kind::Rename).paths(&[at(0, 1), at(2, 3)])
        .flags(Flags::In(4)),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_link, "link", Kind::Link).paths(&[at_cwd(0), at_cwd(1)]),
    call(libc::SYS_linkat, "linkat", Kind::Link).paths(&[at(0, 1), at(2, 3)])
        .flags(Flags::In(4)),
    // What a symbolic link says is not a path that the call touches.
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_symlink, "symlink", Kind::Link).paths(&[at_cwd(1)]),
    call(libc::SYS_symlinkat, "symlinkat", Kind::Link).paths(&[at(1, 2)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_unlink, "unlink", Kind::Remove).paths(&[at_cwd(0)]),
    call(libc::SYS_unlinkat, "unlinkat", Kind::Remove).paths(&[at(0, 1)]).flags(Flags::In(2)),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_rmdir, "rmdir", Kind::Remove).paths(&[at_cwd(0)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mkdir, "mkdir", Kind::MakeDir).paths(&[at_cwd(0)]),
    call(libc::SYS_mkdirat, "mkdirat", Kind::MakeDir).paths(&[at(0, 1)]),

    call(libc::SYS_mknodat, "mknodat", Kind::MakeNode).paths(&[at(0, 1)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_mknod, "mknod", Kind::MakeNode).paths(&[at_cwd(0)]),
    // Its path is in the address.
    call(libc::SYS_bind, "bind", Kind::MakeNode),

    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_chmod, "chmod", Kind::Attributes).paths(&[following(None, 0)]),
    call(libc::SYS_fchmod, "fchmod", Kind::Attributes).fd(0),
    call(libc::SYS_fchmodat, "fchmodat", Kind::Attributes).paths(&[following(Some(0), 1)]),
    call(libc::SYS_fchmodat2, "fchmodat2", Kind::Attributes).paths(&[following(Some(0), 1)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_chown, "chown", Kind::Attributes).paths(&[following(None, 0)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_lchown, "lchown", Kind::Attributes).paths(&[at_cwd(0)]),
    call(libc::SYS_fchown, "fchown", Kind::Attributes).fd(0),
    call(libc::SYS_fchownat, "fchownat", Kind::Attributes).paths(&[at(0, 1)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_utime, "utime", Kind::Attributes).paths(&[following(None, 0)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_utimes, "utimes", Kind::Attributes).paths(&[following(None, 0)]),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_futimesat, "futimesat", Kind::Attributes).paths(&[following(Some(0), 1)]),
    call(libc::SYS_utimensat, "utimensat", Kind::Attributes).paths(&[at(0, 1)]),
    call(libc::SYS_setxattr, "setxattr", Kind::Attributes).paths(&[following(None, 0)]),
    call(libc::SYS_lsetxattr, "lsetxattr", Kind::Attributes).paths(&[at_cwd(0)]),
    call(libc::SYS_fsetxattr, "fsetxattr", Kind::Attributes).fd(0),
    call(libc::SYS_removexattr, "removexattr", Kind::Attributes).paths(&[following(None, 0)]),
    call(libc::SYS_lremovexattr, "lremovexattr", Kind::Attributes).paths(&[at_cwd(0)]),
    call(libc::SYS_fremovexattr, "fremovexattr", Kind::Attributes).fd(0),

    call(SYS_SETXATTRAT, "setxattrat", Kind::Attributes).paths(&[at(0, 1)]),
    call(SYS_REMOVEXATTRAT, "removexattrat", Kind::Attributes).paths(&[at(0, 1)]),

    call(libc::SYS_mmap, "mmap", Kind::Map).fd(4).range(Length::In(1), Offset::In(5))
        .flags(Flags::In(3)).only(&SHARED_FILES),

    call(libc::SYS_io_submit, "io_submit", Kind::AsyncIo).range(Length::In(1), Offset::None),
    // Only a ring whose requests a thread of the kernel picks up is of interest.
    call(libc::SYS_io_uring_setup, "io_uring_setup", Kind::IoUring),
    call(libc::SYS_io_uring_enter, "io_uring_enter", Kind::IoUring)
        .range(Length::In(1), Offset::None),
];
