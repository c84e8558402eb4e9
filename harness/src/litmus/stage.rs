//! Where a program runs, and how to say what it reads there.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::sim::{FileHandle, FileSystem, OpenOptions, PAGE_BYTES, SECTOR_BYTES};

/// A directory on some file system. Names may have slashes; the empty one is the directory itself.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    fs: &'a dyn FileSystem,
    root: &'a Path,
}

impl<'a> Stage<'a> {
    /// This directory.
    pub fn new(fs: &'a dyn FileSystem, root: &'a Path) -> Self {
        Self { fs, root }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.to_owned()
        } else {
            self.root.join(name)
        }
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        self.fs
            .open(&self.path(name), options.read(true).write(true))
    }

    /// Opens a file that is there and empties it.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_emptied(&self, name: &str) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).truncate(true);
        self.fs.open(&self.path(name), options)
    }

    /// Creates a file with so many of a letter in it.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn create(&self, name: &str, letter: u8, len: usize) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = self.fs.open(&self.path(name), options)?;
        fill(&*file, letter, len, 0)?;
        Ok(file)
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn mkdir(&self, name: &str) -> io::Result<()> {
        self.fs.create_dir(&self.path(name))
    }

    /// Renames.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.rename(&self.path(from), &self.path(to))
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    /// As link(2).
    pub fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.hard_link(&self.path(from), &self.path(to))
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        self.fs.remove_file(&self.path(name))
    }

    /// Syncs a directory.
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.fs.sync_dir(&self.path(name))
    }

    /// What a file holds; nothing if there is no such name.
    ///
    /// # Errors
    /// As open(2) and read(2), a missing name aside.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let opened = self
            .fs
            .open(&self.path(name), OpenOptions::new().read(true));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let len = usize::try_from(file.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match file.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// What a file holds, in words, if it should be so long.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn content(&self, name: &str, len: usize) -> io::Result<String> {
        Ok(match self.read(name)? {
            None => "missing".to_owned(),
            Some(bytes) if bytes.is_empty() => "length 0".to_owned(),
            Some(bytes) if bytes.len() == len => kinds(&bytes),
            Some(bytes) => format!("length {}, {}", bytes.len(), kinds(&bytes)),
        })
    }

    /// What has become of a file that was so long and should be longer, or is as it was.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn growth(&self, name: &str, before: usize, after: usize) -> io::Result<String> {
        let bytes = self.read(name)?.unwrap_or_default();
        let (Some(start), Some(more)) = (bytes.get(..before), bytes.get(before..)) else {
            return self.content(name, after);
        };
        if kinds_of(start) != BTreeSet::from([Kind::Old]) {
            return self.content(name, after);
        }
        Ok(if more.is_empty() {
            "not longer".to_owned()
        } else if before + more.len() == after {
            format!("longer: {}", kinds(more))
        } else {
            format!("longer by {}: {}", more.len(), kinds(more))
        })
    }

    /// Which of two names, of which one follows the other, are there; and what is in the file, if it
    /// is not what it should be.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn which(&self, old: &str, new: &str, content: &[u8]) -> io::Result<String> {
        let (old, new) = (self.read(old)?, self.read(new)?);
        let names = match (&old, &new) {
            (None, None) => "neither name",
            (Some(_), None) => "old name",
            (None, Some(_)) => "new name",
            (Some(_), Some(_)) => "both names",
        };
        let wrong = [old, new].into_iter().flatten();
        let wrong: Vec<String> = wrong
            .filter(|bytes| bytes != content)
            .map(|bytes| format!("length {} {}", bytes.len(), kinds(&bytes)))
            .collect();
        Ok(if wrong.is_empty() {
            names.to_owned()
        } else {
            format!("{names}, {}", wrong.join(", "))
        })
    }
}

/// What is there before a program begins.
pub(super) const OLD: u8 = b'o';
/// What a program writes.
pub(super) const NEW: u8 = b'n';
/// A page, which is a block as well.
pub(super) const PAGE: usize = PAGE_BYTES;
/// A sector.
pub(super) const SECTOR: usize = SECTOR_BYTES;

/// Writes so many of a letter.
pub(super) fn fill(
    file: &dyn FileHandle,
    letter: u8,
    len: usize,
    mut offset: u64,
) -> io::Result<()> {
    let bytes = vec![letter; len];
    let mut left = &bytes[..];
    while !left.is_empty() {
        let written = file.write_at(left, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        left = &left[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Old,
    New,
    Zeros,
    /// Nobody wrote them.
    Garbage,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Zeros => "zeros",
            Self::Garbage => "garbage",
        })
    }
}

/// Whose bytes there are, each kind once.
pub(super) fn kinds_of(bytes: &[u8]) -> BTreeSet<Kind> {
    let sectors = bytes.chunks(SECTOR).flat_map(|sector| {
        let kinds: BTreeSet<Kind> = sector.iter().map(|byte| kind(*byte)).collect();
        // Garbage may happen to have some of our letters.
        if kinds.contains(&Kind::Garbage) {
            BTreeSet::from([Kind::Garbage])
        } else {
            kinds
        }
    });
    sectors.collect()
}

fn kind(byte: u8) -> Kind {
    match byte {
        OLD => Kind::Old,
        NEW => Kind::New,
        0 => Kind::Zeros,
        _ => Kind::Garbage,
    }
}

fn kinds(bytes: &[u8]) -> String {
    let kinds: Vec<String> = kinds_of(bytes).iter().map(Kind::to_string).collect();
    kinds.join("+")
}
