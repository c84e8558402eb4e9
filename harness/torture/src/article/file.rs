//! One file of the log: `version1`, the sequence number before its first entry, entries.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use plugpull::sim::{FileHandle, FileSystem, OpenOptions};

use super::entry::Entry;

const MAGIC: &[u8; 8] = b"version1";
const HEADER_BYTES: u64 = 16;

/// A file that is open to be appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    file: Box<dyn FileHandle>,
    path: PathBuf,
    /// The number of the last entry before this file's first one.
    start: i64,
    entries: u32,
}

impl LogFile {
    /// Begins a file: if somebody has begun it already, at its end.
    pub(super) fn create(fs: &dyn FileSystem, path: &Path, start: i64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = fs.open(path, options.create(true).append(true))?;
        append(&*file, MAGIC)?;
        append(&*file, &start.to_le_bytes())?;
        Ok(Self {
            file,
            path: path.to_owned(),
            start,
            entries: 0,
        })
    }

    /// Opens what is left of a file: syncs it, and counts the lengths in it.
    pub(super) fn open(fs: &dyn FileSystem, path: &Path) -> io::Result<Self> {
        let file = fs.open(path, OpenOptions::new().read(true).write(true))?;
        file.sync_all()?;
        let start = read_start(&*file)?;
        let file_len = file.length()?;
        let mut offset = HEADER_BYTES;
        let mut entries = 0;
        while offset < file_len {
            entries += 1;
            offset += 4 + u64::from(u32::from_le_bytes(read(&*file, offset)?));
        }
        Ok(Self {
            file: fs.open(path, OpenOptions::new().append(true))?,
            path: path.to_owned(),
            start,
            entries,
        })
    }

    /// Appends an entry, field by field, and returns its number. If a field cannot be written, those
    /// before it stay.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<i64> {
        for field in entry.fields() {
            append(&*self.file, &field)?;
        }
        self.entries += 1;
        Ok(self.last())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn file_bytes(&self) -> io::Result<u64> {
        self.file.length()
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The number of its last entry.
    pub(super) fn last(&self) -> i64 {
        self.start.wrapping_add(self.entries.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a file's entries, with their numbers, up to the first that does not fit into it.
///
/// # Panics
/// If there is something that is not an entry: the design decodes what it finds.
pub(super) fn read_entries(
    fs: &dyn FileSystem,
    path: &Path,
    mut show: impl FnMut(i64, Entry),
) -> io::Result<()> {
    let file = fs.open(path, OpenOptions::new().read(true))?;
    let mut number = read_start(&*file)?;
    let file_len = file.length()?;
    let mut offset = HEADER_BYTES;
    while offset < file_len {
        let len: u64 = u32::from_le_bytes(read(&*file, offset)?).into();
        offset += 4;
        if offset + len > file_len {
            break;
        }
        let mut bytes = vec![0; usize::try_from(len).expect("it is in the file")];
        read_exact(&*file, &mut bytes, offset)?;
        offset += len;
        number = number.wrapping_add(1);
        show(number, Entry::decode(&bytes));
    }
    Ok(())
}

fn read_start(file: &dyn FileHandle) -> io::Result<i64> {
    Ok(i64::from_le_bytes(read(file, MAGIC.len() as u64)?))
}

fn read<const N: usize>(file: &dyn FileHandle, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    read_exact(file, &mut bytes, offset)?;
    Ok(bytes)
}

fn read_exact(file: &dyn FileHandle, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, offset)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => {
                bytes = &mut bytes[len..];
                offset += len as u64;
            }
        }
    }
    Ok(())
}

/// The file is open to be appended to, so the offset means nothing.
fn append(file: &dyn FileHandle, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(bytes, 0)?;
        bytes = &bytes[written..];
    }
    Ok(())
}
