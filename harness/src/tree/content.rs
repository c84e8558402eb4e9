//! A file's bytes in memory, without its holes.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use rustix::buffer::spare_capacity;
use twox_hash::XxHash3_64;

use super::holes::{PAGE, PAGE_BYTES, data_ranges};

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// A file's bytes, shared by all images in which they are the same. Two are equal if the bytes are,
/// wherever the holes are.
#[derive(Clone, Debug)]
pub(crate) struct Content(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pieces: Pieces,
    hash: u64,
    /// All bytes at once, if the file has holes and they were asked for.
    whole: OnceLock<Vec<u8>>,
}

/// Each begins on a page and, but for one at the file's end, has whole pages. Between them are zeros.
#[derive(Debug)]
struct Pieces {
    len: u64,
    list: Vec<(u64, Vec<u8>)>,
}

impl Content {
    /// These bytes, without holes.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::of(Pieces::dense(bytes))
    }

    fn of(pieces: Pieces) -> Self {
        Self(Arc::new(Shared {
            hash: pieces.hash(),
            pieces,
            whole: OnceLock::new(),
        }))
    }

    /// Reads an open file from its beginning. What is the same as `known` shares its memory.
    pub(crate) fn read(
        file: &File,
        len: u64,
        allocated: u64,
        known: Option<&Self>,
    ) -> io::Result<Self> {
        let pieces = if allocated >= len {
            Pieces::dense(read_all(file, len)?)
        } else {
            Pieces::read(file, len, allocated)?
        };
        Ok(match known {
            Some(known) if known.0.pieces == pieces => known.clone(),
            _ => Self::of(pieces),
        })
    }

    /// Writes it to a new, empty file, and leaves out the holes.
    pub(crate) fn write(&self, file: &File) -> io::Result<()> {
        let Pieces { len, list } = &self.0.pieces;
        for (offset, bytes) in list {
            file.write_all_at(bytes, *offset)?;
        }
        let end = list.last().map_or(0, |(at, bytes)| at + bytes.len() as u64);
        if end < *len {
            file.set_len(*len)?;
        }
        Ok(())
    }

    /// All bytes. Those of a file with holes are put together the first time.
    pub(crate) fn bytes(&self) -> &[u8] {
        let Pieces { len, list } = &self.0.pieces;
        match list.as_slice() {
            [(0, bytes)] if bytes.len() as u64 == *len => bytes,
            list => self.0.whole.get_or_init(|| {
                let mut whole = vec![0; usize::try_from(*len).expect("it fits into memory")];
                for (offset, bytes) in list {
                    let offset = usize::try_from(*offset).expect("less than its length");
                    whole[offset..offset + bytes.len()].copy_from_slice(bytes);
                }
                whole
            }),
        }
    }

    /// Tells contents apart; the same in every process.
    pub(crate) fn hash(&self) -> u64 {
        self.0.hash
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.pieces == other.0.pieces)
    }
}

impl Eq for Content {}

impl Pieces {
    fn dense(bytes: Vec<u8>) -> Self {
        Self {
            len: bytes.len() as u64,
            list: vec![(0, bytes)],
        }
    }

    fn read(file: &File, len: u64, allocated: u64) -> io::Result<Self> {
        let mut list = Vec::new();
        for range in data_ranges(file, len, allocated)? {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("in memory")];
            file.read_exact_at(&mut bytes, range.start)?;
            list.push((range.start, bytes));
        }
        Ok(Self { len, list })
    }

    /// The pages that are not zeros, with their numbers.
    fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let pages = self.list.iter().flat_map(|(offset, bytes)| {
            let first = offset / PAGE;
            (first..).zip(bytes.chunks(PAGE_BYTES))
        });
        pages.filter(|(_, page)| **page != ZEROS[..page.len()])
    }

    fn hash(&self) -> u64 {
        let mut hasher = XxHash3_64::new();
        hasher.write_u64(self.len);
        for (number, page) in self.pages() {
            hasher.write_u64(number);
            hasher.write(page);
        }
        hasher.finish()
    }
}

impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && (self.list == other.list || self.pages().eq(other.pages()))
    }
}

/// Reads to the end, which is expected at `len`.
fn read_all(file: &File, len: u64) -> io::Result<Vec<u8>> {
    // One more, so that the end is seen without growing.
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(len + 1);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(PAGE_BYTES);
        }
        match rustix::io::read(file, spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_with_holes_and_without() {
        let mut bytes = vec![0; 5 * PAGE_BYTES + 100];
        bytes[2 * PAGE_BYTES + 7] = 1;
        let dense = Content::new(bytes.clone());
        let sparse = |number: u64, len: usize| {
            let at = usize::try_from(number).expect("small") * PAGE_BYTES;
            Content::of(Pieces {
                len: bytes.len() as u64,
                list: vec![(number * PAGE, bytes[at..at + len].to_vec())],
            })
        };
        for same in [sparse(2, PAGE_BYTES), sparse(1, 3 * PAGE_BYTES)] {
            assert_eq!(same, dense);
            assert_eq!(same.hash(), dense.hash());
            assert_eq!(same.bytes(), bytes);
        }
        // Without the byte that counts.
        assert_ne!(sparse(3, PAGE_BYTES), dense);
        let longer = Content::new([bytes.as_slice(), &[0]].concat());
        assert_ne!(longer, dense);
        assert_ne!(longer.hash(), dense.hash());
    }
}
