//! Random programs of calls on a directory.

mod processes;
mod syncs;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use memmap2::{MmapOptions, MmapRaw};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::{Errno, ReadWriteFlags};

use crate::pages::index;
use crate::workload::stream;

/// Calls of one thread.
const STEPS: usize = 160;
const FILES_OPEN_MAX: usize = 6;
const PAGE: u64 = 4096;
const MAP_BYTES: usize = 3 * 4096;
/// One is not UTF-8, one looks like that of a removed file, two are in directories.
const NAMES: [&[u8]; 8] = [
    b"a",
    b"b",
    b"c",
    b"d\xff",
    b"e (deleted)",
    b"sub/a",
    b"sub/b",
    b"other/a",
];

/// One thread of a random program.
pub(super) struct Program<'p> {
    store: &'p Path,
    /// A directory of the same file system, which is not watched.
    outside: PathBuf,
    /// A link to the store, outside of it.
    door: PathBuf,
    rng: ChaCha8Rng,
    /// Of all threads.
    files: &'p Mutex<Vec<File>>,
    maps: Vec<(MmapRaw, File)>,
    /// It is the only thread.
    alone: bool,
    is_followed: bool,
}

impl<'p> Program<'p> {
    /// One that `is_followed` also syncs, and leaves out what cannot be followed.
    pub(super) fn run(store: &'p Path, seed: u64, threads: usize, is_followed: bool) {
        let outside = store.with_file_name("outside");
        let door = store.with_file_name("door");
        fs::create_dir(&outside).expect("made");
        std::os::unix::fs::symlink(store, &door).expect("made");
        std::env::set_current_dir(store).expect("it is there");
        for dir in ["sub", "other"] {
            fs::create_dir(store.join(dir)).expect("made");
        }
        let files = Mutex::default();
        thread::scope(|scope| {
            for number in 0..threads {
                let mut program = Program {
                    store,
                    outside: outside.clone(),
                    door: door.clone(),
                    rng: stream(seed, number as u64),
                    files: &files,
                    maps: Vec::new(),
                    alone: threads == 1,
                    is_followed,
                };
                scope.spawn(move || {
                    for _ in 0..STEPS {
                        // Many fail: what they do then is copied as well.
                        program.step().ok();
                    }
                });
            }
        });
    }

    fn below(&mut self, end: u64) -> u64 {
        self.rng.random_range(0..end)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }

    /// A name in the directory, by one of many ways.
    fn path(&mut self) -> PathBuf {
        let name = match self.one_of(&NAMES) {
            name if self.is_followed => name.strip_suffix(b"\xff").unwrap_or(name),
            name => name,
        };
        let name = Path::new(OsStr::from_bytes(name));
        let way = match self.below(12) {
            0 => self.door.clone(),
            1 => self.store.join("sub/.."),
            2 => PathBuf::from("/proc/self/cwd"),
            3..6 => self.store.to_owned(),
            _ => PathBuf::new(),
        };
        way.join(name)
    }

    /// Now and then, one outside of it. Not where several threads run: see the limits of the tracer.
    fn path_or_outside(&mut self) -> PathBuf {
        match self.below(6) {
            0 if self.alone => self.outside.join("a"),
            1 if self.alone => self.outside.join("b"),
            _ => self.path(),
        }
    }

    /// A descriptor of its own for one of the open files, with the position of that.
    fn file(&mut self) -> io::Result<File> {
        let files = self.files.lock().expect("no thread panics");
        if files.is_empty() {
            return Err(Errno::BADF.into());
        }
        let number = self.rng.random_range(0..files.len());
        files[number].try_clone()
    }

    fn keep(&mut self, file: File) {
        let mut files = self.files.lock().expect("no thread panics");
        if files.len() >= FILES_OPEN_MAX {
            let number = self.rng.random_range(0..files.len());
            files.swap_remove(number);
        }
        files.push(file);
    }

    /// Small, or about a page's end, or some pages long.
    fn length(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(10),
            1 => PAGE * self.rng.random_range(1..4) - 2 + self.below(5),
            _ => self.below(5 * PAGE),
        }
    }

    /// Most are near the beginning.
    fn offset(&mut self) -> u64 {
        match self.below(12) {
            0 if !self.is_followed => (5 << 30) + self.below(100),
            1 => 70 * PAGE + self.below(100),
            2..5 => PAGE * self.below(6),
            _ => self.length(),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let byte = self.rng.random_range(0..6);
        vec![byte; index(self.length())]
    }

    fn step(&mut self) -> io::Result<()> {
        match self.below(30) {
            _ if self.is_followed && self.below(4) == 0 => self.sync(),
            0..4 => self.open(),
            4..8 => self.write(),
            8..12 => self.write_at(),
            12..14 => self.copy(),
            14..16 => self.resize(),
            16..22 => self.names(),
            22..24 => self.attributes(),
            24..26 => processes::run(self.one_of(&processes::SCRIPTS), self.file()?),
            _ if self.alone => self.mapping(),
            _ => self.write_at(),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.below(4) > 0 {
            let dir = self.one_of(&["", "sub", "other", "moved"]);
            let (way, dir) = (self.below(syncs::WAYS), self.store.join(dir));
            return syncs::sync(way, &self.file()?, &dir);
        }
        let (from, to) = match self.below(4) {
            0 => (self.store.join("sub"), self.store.join("other")),
            _ => (self.path(), self.path()),
        };
        syncs::rename(self.below(2) == 0, &from, &to)
    }

    fn open(&mut self) -> io::Result<()> {
        let mode = Mode::from_raw_mode(0o644);
        if self.below(8) == 0 {
            let dir = self.one_of(&[".", "sub"]);
            let file = rustix::fs::openat(CWD, dir, OFlags::TMPFILE | OFlags::RDWR, mode)?;
            self.keep(file.into());
            return Ok(());
        }
        let mut flags = OFlags::RDWR | OFlags::NONBLOCK;
        for (flag, one_in) in [
            (OFlags::CREATE, 1),
            (OFlags::TRUNC, 4),
            (OFlags::APPEND, 4),
            (OFlags::EXCL, 8),
            (OFlags::DSYNC, 5),
            (OFlags::SYNC, 7),
        ] {
            flags.set(flag, self.below(one_in) == 0);
        }
        let path = self.path_or_outside();
        let file = rustix::fs::openat(CWD, path, flags, mode)?;
        self.keep(file.into());
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let mut file = self.file()?;
        let bytes = self.bytes();
        match self.below(4) {
            0 => drop(rustix::fs::seek(
                &file,
                rustix::fs::SeekFrom::Start(self.offset()),
            )?),
            1 => {
                let (one, two) = bytes.split_at(bytes.len() / 3);
                let _: usize = file.write_vectored(&[IoSlice::new(one), IoSlice::new(two)])?;
            }
            2 => {
                let flags = self.one_of(&[ReadWriteFlags::APPEND, ReadWriteFlags::empty()]);
                rustix::io::pwritev2(&file, &[IoSlice::new(&bytes)], u64::MAX, flags)?;
            }
            _ => drop(file.write(&bytes)?),
        }
        Ok(())
    }

    fn write_at(&mut self) -> io::Result<()> {
        let file = self.file()?;
        let (bytes, offset) = (self.bytes(), self.offset());
        let (one, two) = bytes.split_at(bytes.len() / 2);
        let both = [IoSlice::new(one), IoSlice::new(two)];
        match self.below(4) {
            0 => drop(rustix::io::pwritev(&file, &both, offset)?),
            1 => {
                let noappend = ReadWriteFlags::from_bits_retain(0x20);
                let (append, dsync) = (ReadWriteFlags::APPEND, ReadWriteFlags::DSYNC);
                let flags = self.one_of(&[append, ReadWriteFlags::empty(), noappend, dsync]);
                rustix::io::pwritev2(&file, &both, offset, flags)?;
            }
            _ => drop(file.write_at(&bytes, offset)?),
        }
        Ok(())
    }

    fn copy(&mut self) -> io::Result<()> {
        let (from, to) = (self.file()?, self.file()?);
        let (mut at, mut into, len) = (self.offset(), self.offset(), index(self.length()));
        match self.below(4) {
            0 => drop(rustix::fs::sendfile(&to, &from, Some(&mut at), len)?),
            1 => drop(rustix::fs::copy_file_range(&from, None, &to, None, len)?),
            2 => {
                let (at, into) = (Some(&mut at), Some(&mut into));
                rustix::fs::copy_file_range(&from, at, &to, into, len)?;
            }
            // Which splices.
            _ if self.alone => {
                let (pipe, mut end) = io::pipe()?;
                end.write_all(&self.bytes())?;
                drop(end);
                let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
                io::copy(&mut pipe.take(1 << 20), &mut &to)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn resize(&mut self) -> io::Result<()> {
        let (file, len) = (self.file()?, self.length());
        match self.below(5) {
            0 => file.set_len(len),
            1 => {
                let path = self.path_or_outside();
                Ok(nix::unistd::truncate(&path, len.cast_signed())?)
            }
            2 => Ok(rustix::fs::ftruncate(&file, self.offset())?),
            _ => {
                let whole_blocks = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
                let all = [
                    FallocateFlags::empty(),
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::ZERO_RANGE,
                    FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::COLLAPSE_RANGE,
                    FallocateFlags::INSERT_RANGE,
                ];
                let flags = self.one_of(&all[..if self.is_followed { 5 } else { 7 }]);
                let unit = if flags.intersects(whole_blocks) {
                    PAGE
                } else {
                    1
                };
                let (from, bytes) = (self.below(9000) / unit * unit, (1 + len / unit) * unit);
                Ok(rustix::fs::fallocate(&file, flags, from, bytes)?)
            }
        }
    }

    fn names(&mut self) -> io::Result<()> {
        let (from, to) = (self.path_or_outside(), self.path_or_outside());
        match self.below(11) {
            0 | 1 => fs::rename(from, to),
            2 if !self.is_followed => Ok(rustix::fs::renameat_with(
                CWD,
                from,
                CWD,
                to,
                RenameFlags::EXCHANGE,
            )?),
            3 => fs::hard_link(from, to),
            4 => {
                let file = self.file()?;
                Ok(rustix::fs::linkat(&file, "", CWD, to, AtFlags::EMPTY_PATH)?)
            }
            5 => {
                use std::os::fd::AsRawFd;
                let file = self.file()?;
                let from = format!("/proc/self/fd/{}", file.as_raw_fd());
                Ok(rustix::fs::linkat(
                    CWD,
                    from,
                    CWD,
                    to,
                    AtFlags::SYMLINK_FOLLOW,
                )?)
            }
            6 => std::os::unix::fs::symlink(from, to),
            7 => {
                let (from, to) = if self.below(2) == 0 {
                    ("sub", "moved")
                } else {
                    ("moved", "sub")
                };
                fs::rename(self.store.join(from), to)
            }
            8 => match self.below(4) {
                0 => fs::create_dir(to),
                1 => fs::remove_dir(to),
                2 => fs::create_dir_all(self.store.join("sub")),
                // To open a FIFO is not held back, as it may wait; what has its name a moment later is no
                // FIFO then.
                _ if !self.alone => Ok(()),
                _ => {
                    let mode = Mode::from_raw_mode(0o600);
                    Ok(rustix::fs::mknodat(CWD, to, FileType::Fifo, mode, 0)?)
                }
            },
            _ => fs::remove_file(to),
        }
    }

    fn attributes(&mut self) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let (file, path) = (self.file()?, self.path());
        let mode = Mode::from_raw_mode(self.one_of(&[0o600, 0o640, 0o4755]));
        let time = Timespec {
            tv_sec: 1000,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        match self.below(8) {
            0 => Ok(rustix::fs::fchmod(&file, mode)?),
            1 => Ok(rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())?),
            2 => Ok(rustix::fs::futimens(&file, &times)?),
            3 => Ok(rustix::fs::utimensat(
                CWD,
                path,
                &times,
                AtFlags::SYMLINK_NOFOLLOW,
            )?),
            4 => {
                let value = self.bytes();
                let value = &value[..value.len().min(50)];
                Ok(rustix::fs::setxattr(
                    path,
                    "user.x",
                    value,
                    XattrFlags::empty(),
                )?)
            }
            5 => Ok(rustix::fs::fremovexattr(&file, "user.x")?),
            6 => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                Ok(rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())?)
            }
            _ => {
                let path = format!("/dev/fd/{}", file.as_raw_fd());
                Ok(nix::unistd::truncate(&*path, self.length().cast_signed())?)
            }
        }
    }

    #[expect(unsafe_code, reason = "memory shared with a file")]
    fn mapping(&mut self) -> io::Result<()> {
        if self.maps.is_empty() || self.below(4) == 0 {
            let file = File::options()
                .read(true)
                .write(true)
                .open(self.path_or_outside())?;
            file.set_len(MAP_BYTES as u64)?;
            let map = MmapOptions::new().len(MAP_BYTES).map_raw(&file)?;
            self.maps.truncate(2);
            self.maps.push((map, file));
        }
        let number = self.rng.random_range(0..self.maps.len());
        if self.below(8) == 0 {
            return self.maps[number].0.flush();
        }
        let at = self.rng.random_range(0..MAP_BYTES);
        let (map, file) = &self.maps[number];
        if file.metadata()?.len() >= MAP_BYTES as u64 {
            // SAFETY: within the mapping and within the file, which no other thread changes.
            unsafe { map.as_mut_ptr().add(at).write_volatile(at.to_le_bytes()[0]) };
        }
        Ok(())
    }
}
