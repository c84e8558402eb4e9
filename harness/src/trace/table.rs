//! The system calls that are looked at, and where each keeps its arguments.

use nix::libc;

use super::Kind;

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

    pub(super) fn of(number: u64) -> Option<&'static Self> {
        TABLE
            .iter()
            .find(|signature| u64::try_from(signature.number) == Ok(number))
    }
}

#[cfg(target_arch = "x86_64")]
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

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident: $kind:ident $(. $method:ident($($argument:expr),*))*;)*) => {
        paste_free! { $($(#[$meta])* $name: $kind $(. $method($($argument),*))*;)* }
    };
}
