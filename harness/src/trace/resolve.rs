//! From the registers of a stopped task to a [`Call`]: which files does it touch, and where?
//!
//! All of it is read through `/proc` and the task's memory while the task is stopped. It may be
//! killed at any moment, and then everything here fails; that is `None`, and its end is reported
//! by the next wait.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::call::{Call, Durability, Kind, as_int};
use super::filter::CREATING;
use super::memory::{IOV_BYTES, Memory};
use super::paths::{as_seen_by, undeleted, without_links};
use super::sys::Registers;
use super::table::{Flags, Length, Offset, PathArgument, Signature};

/// Flags of `pwritev2`: durable when it ends; to the end of the file, or not, whatever the descriptor says.
const RWF_DSYNC: u64 = 0x02;
const RWF_SYNC: u64 = 0x04;
const RWF_APPEND: u64 = 0x10;
const RWF_NOAPPEND: u64 = 0x20;
const IORING_SETUP_SQPOLL: u32 = 1 << 1;
/// A request of `io_submit`, and where in it the descriptor is.
const REQUEST_BYTES: usize = 64;
const REQUEST_FD: usize = 20;
/// Requests of one call that are looked at.
const REQUESTS_MAX: usize = 1024;

/// What the kernel tells of a descriptor.
struct OpenFile {
    flags: i32,
    position: u64,
}

/// The call that the task is stopped at, if it touches the directory, or a file that it `holds`.
pub(super) fn resolve(
    task: Pid,
    registers: &Registers,
    dir: &Path,
    holds: &mut dyn FnMut(Kind, (u64, u64), Option<Durability>) -> bool,
) -> Option<Call> {
    let (number, arguments) = (registers.number(), registers.arguments());
    let signature = Signature::of(number)?;
    let stopped = Stopped {
        task,
        signature,
        arguments,
    };
    let flags = stopped.flags();
    let creates = flags.is_some_and(|flags| {
        let has = |flag: &i32| flags & u64::from(flag.cast_unsigned()) != 0;
        CREATING.iter().any(has)
    });
    if signature.kind == Kind::Create && !creates {
        return None;
    }
    if number == u64::try_from(libc::SYS_io_uring_setup).ok()? && !stopped.polls() {
        return None;
    }
    if signature.kind == Kind::Map && !stopped.is_for_writing() {
        return None;
    }
    let paths = stopped.paths();
    if signature.kind != Kind::IoUring {
        if !paths.iter().any(|path| path.starts_with(dir))
            && !stopped.syncs_file_system_of(dir)
            && !stopped
                .files(&paths)
                .any(|file| holds(signature.kind, file, stopped.syncs()))
        {
            return None;
        }
        // A pipe or a socket that lives in the directory can block for ever and holds no data; but it has
        // attributes.
        if signature.kind != Kind::Attributes && !stopped.is_storage(&paths) {
            return None;
        }
    }
    let inside = |path: PathBuf| match path.strip_prefix(dir) {
        Ok(relative) => relative.to_owned(),
        Err(_) => path,
    };
    Some(Call {
        thread: task.as_raw(),
        name: signature.name,
        kind: signature.kind,
        fd: stopped.fd(),
        file: stopped.file(),
        paths: paths.into_iter().map(inside).collect(),
        offset: stopped.offset(),
        length: stopped.length(),
        flags,
        syncs: stopped.syncs(),
        number,
        arguments,
    })
}

/// Looks at a call again that has ended, and written this number of bytes: where did it write?
///
/// The file's position may have been moved by another process after the call was stopped, as its
/// descriptor may be shared. Where both looks do not agree, it is not known.
pub(super) fn confirm(call: &mut Call, written: u64) {
    let Some(signature) = Signature::of(call.number) else {
        return;
    };
    let stopped = Stopped {
        task: Pid::from_raw(call.thread),
        signature,
        arguments: call.arguments,
    };
    // Where nothing was written, the position says nothing either.
    if !stopped.is_at_position() || written == 0 {
        return;
    }
    let position = stopped.open_file().map(|open| open.position);
    let began = position.and_then(|position| position.checked_sub(written));
    call.offset = call.offset.filter(|offset| began == Some(*offset));
}

/// How a call's length is cut to `length` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// This argument becomes the length.
    Argument(usize),
    /// The array ends with this entry, whose length, at this address, becomes `last`.
    Vector {
        count_argument: usize,
        count: u64,
        address: usize,
        last: u64,
    },
}

pub(super) fn cut(call: &Call, length: u64) -> Option<Cut> {
    let signature = Signature::of(call.number)?;
    let stopped = Stopped {
        task: Pid::from_raw(call.thread),
        signature,
        arguments: call.arguments,
    };
    match signature.length {
        Length::In(index) => Some(Cut::Argument(index)),
        Length::None => None,
        Length::Vectored(index) => {
            let array = usize::try_from(call.arguments[index]).ok()?;
            let mut rest = length;
            for (position, iov) in stopped.iovecs(index)?.into_iter().enumerate() {
                if rest <= iov {
                    return Some(Cut::Vector {
                        count_argument: index + 1,
                        count: u64::try_from(position + 1).ok()?,
                        // The length is the second word.
                        address: array + position * IOV_BYTES + IOV_BYTES / 2,
                        last: rest,
                    });
                }
                rest -= iov;
            }
            None
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

struct Stopped {
    task: Pid,
    signature: &'static Signature,
    arguments: [u64; 6],
}

impl Stopped {
    fn memory(&self) -> Memory {
        Memory(self.task)
    }

    fn proc(&self, what: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{what}", self.task))
    }

    fn fd(&self) -> Option<i32> {
        Some(as_int(self.arguments[self.signature.fd?]))
    }

    fn flags(&self) -> Option<u64> {
        match self.signature.flags {
            Flags::None => None,
            Flags::In(index) => Some(self.arguments[index]),
            Flags::Behind(index) => self.memory().word(self.arguments[index]),
            Flags::Are(flags) => Some(u64::from(flags.cast_unsigned())),
        }
    }

    fn length(&self) -> Option<u64> {
        match self.signature.length {
            Length::None => None,
            Length::In(index) => Some(self.arguments[index]),
            Length::Vectored(index) => Some(self.iovecs(index)?.iter().sum()),
        }
    }

    fn offset(&self) -> Option<u64> {
        let given = match self.signature.offset {
            Offset::None => return None,
            Offset::In(index) => Some(self.arguments[index]).filter(|at| *at != u64::MAX),
            Offset::Behind(index) if self.arguments[index] != 0 => {
                Some(self.memory().word(self.arguments[index])?)
            }
            Offset::Behind(_) | Offset::Position => None,
        };
        if !matches!(self.signature.kind, Kind::Write | Kind::Copy) {
            return given;
        }
        // A file that is open for appending is written at its end, whatever `pwrite` is told.
        let open = self.open_file()?;
        let appends = match self.write_flags() {
            flags if flags & RWF_APPEND != 0 => true,
            flags if flags & RWF_NOAPPEND != 0 => false,
            _ => open.flags & libc::O_APPEND != 0,
        };
        if appends {
            return Some(self.metadata(self.fd()?)?.len());
        }
        given.or(Some(open.position))
    }

    /// Whether it begins at the file's own position, and moves that.
    fn is_at_position(&self) -> bool {
        match self.signature.offset {
            Offset::None => false,
            Offset::Position => true,
            Offset::In(index) => self.arguments[index] == u64::MAX,
            Offset::Behind(index) => self.arguments[index] == 0,
        }
    }

    /// Of `pwritev2`; none otherwise.
    fn write_flags(&self) -> u64 {
        match (self.signature.kind, self.signature.flags) {
            (Kind::Write, Flags::In(index)) => self.arguments[index],
            _ => 0,
        }
    }

    /// What is durable when it has ended well.
    fn syncs(&self) -> Option<Durability> {
        match (self.signature.number, self.signature.kind) {
            (libc::SYS_fsync, _) => Some(Durability::File),
            (libc::SYS_fdatasync, _) => Some(Durability::Data),
            (libc::SYS_sync | libc::SYS_syncfs, _) => Some(Durability::FileSystem),
            (libc::SYS_msync, _) => {
                let is_sync = as_int(self.arguments[2]) & libc::MS_SYNC != 0;
                is_sync.then_some(Durability::Data)
            }
            (_, Kind::Write | Kind::Copy) => self.syncs_by_itself(),
            _ => None,
        }
    }

    /// Whether a write syncs by itself, by its own flags or by those of its descriptor.
    fn syncs_by_itself(&self) -> Option<Durability> {
        let (open, flags) = (self.open_file()?.flags, self.write_flags());
        if open & libc::O_SYNC == libc::O_SYNC || flags & RWF_SYNC != 0 {
            Some(Durability::File)
        } else if open & libc::O_DSYNC != 0 || flags & RWF_DSYNC != 0 {
            Some(Durability::Data)
        } else {
            None
        }
    }

    /// Whether it syncs all of the file system that the directory is in, whatever it is called with.
    fn syncs_file_system_of(&self, dir: &Path) -> bool {
        match self.signature.number {
            libc::SYS_sync => true,
            libc::SYS_syncfs => {
                let device = |metadata: fs::Metadata| metadata.dev();
                let asked = self.fd().and_then(|fd| self.metadata(fd)).map(device);
                asked.is_some() && asked == fs::metadata(dir).ok().map(device)
            }
            _ => false,
        }
    }

    /// What the kernel tells of the descriptor.
    fn open_file(&self) -> Option<OpenFile> {
        let info = fs::read_to_string(self.proc(&format!("fdinfo/{}", self.fd()?))).ok()?;
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
        Some(OpenFile {
            flags: i32::from_str_radix(field("flags:")?.trim(), 8).ok()?,
            position: field("pos:")?.trim().parse().ok()?,
        })
    }

    fn is_for_writing(&self) -> bool {
        let open = self.open_file();
        open.is_some_and(|open| open.flags & libc::O_ACCMODE != libc::O_RDONLY)
    }

    /// Whether a ring that is about to be made has a thread of the kernel that picks up its requests.
    fn polls(&self) -> bool {
        // The flags are the third word of the structure that the second argument points to.
        let flags = self.memory().word(self.arguments[1] + 8);
        flags.is_some_and(|flags| flags & u64::from(IORING_SETUP_SQPOLL) != 0)
    }

    fn metadata(&self, fd: i32) -> Option<fs::Metadata> {
        fs::metadata(self.proc(&format!("fd/{fd}"))).ok()
    }

    fn file(&self) -> Option<(u64, u64)> {
        self.metadata(self.fd()?).as_ref().map(identity)
    }

    /// The file of the descriptor, or those under the paths.
    fn files<'p>(&self, paths: &'p [PathBuf]) -> impl Iterator<Item = (u64, u64)> + 'p {
        let file = self.file();
        let paths = if self.fd().is_some() { &[] } else { paths };
        let named = paths.iter().filter_map(|path| fs::metadata(path).ok());
        file.into_iter()
            .chain(named.map(|metadata| identity(&metadata)))
    }

    fn is_storage(&self, paths: &[PathBuf]) -> bool {
        let metadata = match (self.fd(), self.signature.kind, paths) {
            (Some(fd), _, _) => self.metadata(fd),
            (None, Kind::Create, [path]) => fs::metadata(path).ok(),
            _ => None,
        };
        // What does not exist yet will be a file.
        metadata.is_none_or(|metadata| {
            let kind = metadata.file_type();
            !(kind.is_fifo() || kind.is_socket() || kind.is_char_device())
        })
    }

    fn paths(&self) -> Vec<PathBuf> {
        if let Some(fd) = self.fd() {
            return self.of_fd(fd).into_iter().collect();
        }
        match self.signature.number {
            libc::SYS_msync => return self.mapped_at(self.arguments[0]).into_iter().collect(),
            libc::SYS_bind => return self.address().into_iter().collect(),
            libc::SYS_io_submit => return self.submitted(),
            _ => {}
        }
        let arguments = self.signature.paths.iter();
        arguments
            .filter_map(|argument| self.of_argument(argument))
            .collect()
    }

    fn of_fd(&self, fd: i32) -> Option<PathBuf> {
        let path = fs::read_link(self.proc(&format!("fd/{fd}"))).ok()?;
        Some(undeleted(path))
    }

    fn of_argument(&self, argument: &PathArgument) -> Option<PathBuf> {
        let given = match (self.arguments[argument.path], argument.base) {
            // Without a path, `utimensat` means the descriptor.
            (0, Some(_)) => PathBuf::new(),
            (address, _) => self.memory().string(address)?,
        };
        let path = if given.is_absolute() {
            given
        } else {
            let base = match argument.base.map(|base| as_int(self.arguments[base])) {
                None | Some(libc::AT_FDCWD) => fs::read_link(self.proc("cwd")).ok()?,
                Some(fd) => self.of_fd(fd)?,
            };
            // An empty path means what the descriptor stands for; joining would add a slash.
            if given.as_os_str().is_empty() {
                base
            } else {
                base.join(given)
            }
        };
        let path = as_seen_by(self.task, path);
        Some(without_links(path, argument.follow))
    }

    /// Where a socket is about to get a name.
    fn address(&self) -> Option<PathBuf> {
        let [_, address, bytes, ..] = self.arguments;
        let name = self.memory().socket_name(address, bytes)?;
        let cwd = fs::read_link(self.proc("cwd")).ok()?;
        Some(without_links(cwd.join(name), false))
    }

    /// The files of the requests that are handed to `io_submit`.
    fn submitted(&self) -> Vec<PathBuf> {
        let count = usize::try_from(self.arguments[1])
            .unwrap_or(0)
            .min(REQUESTS_MAX);
        let mut addresses = vec![0; count * 8];
        if self
            .memory()
            .read(self.arguments[2], &mut addresses)
            .is_none()
        {
            return Vec::new();
        }
        let (addresses, _) = addresses.as_chunks::<8>();
        let file = |address: &[u8; 8]| {
            let mut request = [0; REQUEST_BYTES];
            self.memory()
                .read(u64::from_ne_bytes(*address), &mut request)?;
            let fd = request[REQUEST_FD..].first_chunk::<4>()?;
            self.of_fd(i32::from_ne_bytes(*fd))
        };
        addresses.iter().filter_map(file).collect()
    }

    /// The file that is mapped at an address.
    /// The file of the mapping at an address, if it is shared: what is stored to another one never gets there.
    fn mapped_at(&self, address: u64) -> Option<PathBuf> {
        let maps = fs::read(self.proc("maps")).ok()?;
        maps.split(|byte| *byte == b'\n').find_map(|line| {
            // start-end perms offset device inode, spaces, path
            let mut fields = line.splitn(6, |byte| *byte == b' ');
            let range = str::from_utf8(fields.next()?).ok()?;
            let (start, end) = range.split_once('-')?;
            let start = u64::from_str_radix(start, 16).ok()?;
            let end = u64::from_str_radix(end, 16).ok()?;
            let is_shared = fields.next()?.ends_with(b"s");
            let path = fields.nth(3)?.trim_ascii_start().to_vec();
            let here = (start..end).contains(&address) && is_shared;
            here.then(|| undeleted(OsString::from_vec(path).into()))
        })
    }

    fn iovecs(&self, index: usize) -> Option<Vec<u64>> {
        let count = usize::try_from(self.arguments[index + 1]).ok()?;
        self.memory().iovec_lengths(self.arguments[index], count)
    }
}
