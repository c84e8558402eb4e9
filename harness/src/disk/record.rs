//! What a disk was asked, in the order in which it answered.
//!
//! # The clock
//! A counter is raised *before* an answer is given to the kernel. Whoever reads it after a sync has
//! returned therefore reads at least the index of the flush that the sync waited for:
//!
//! ```text
//! disk                                     program
//! a flush arrives
//!   clock: 6 -> 7, the entry is 7
//!   the kernel is answered
//!                                          fsync returns, the clock says 7 or more
//!                                          acknowledges "at 7": a crash at or after 7 must keep it
//! ```
//!
//! # What is durable
//! A write is durable once a flush has been answered that arrived after the write was answered, or
//! if it was asked to be durable by itself (FUA). "After" is told by the clock; it is raised an
//! instant before the answer leaves, so a flush that arrives within that instant is taken to cover
//! the write. That errs towards losing less. It cannot happen below a loop device, which asks for
//! one thing at a time.
//!
//! What failed covers nothing, and is covered by nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::image::{Image, PAGE_BYTES, SECTOR_BYTES, pages_of};
use crate::pages::Page;

/// The counter that tells when something happened. It may lie in memory shared with the program
/// that is recorded; all that is asked for is one atomic word that only ever grows.
pub trait Clock: Send + Sync + 'static {
    /// The counter.
    fn counter(&self) -> &AtomicU64;
}

impl Clock for AtomicU64 {
    fn counter(&self) -> &AtomicU64 {
        self
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn counter(&self) -> &AtomicU64 {
        (**self).counter()
    }
}

/// What the clock says.
pub(super) fn now(clock: &dyn Clock) -> u64 {
    clock.counter().load(Ordering::SeqCst)
}

/// Raises the clock, and says to what.
pub(super) fn raise(clock: &dyn Clock) -> u64 {
    clock.counter().fetch_add(1, Ordering::SeqCst) + 1
}

/// Bytes within one page.
#[derive(Clone, Debug)]
enum Piece {
    /// A whole page, shared with the images that it is written to; nothing is zeros.
    Whole(u64, Option<Arc<Page>>),
    /// A part of one: page, where in it, bytes.
    Part(u64, usize, Arc<[u8]>),
}

/// What a disk was asked to do.
#[derive(Clone, Debug)]
pub struct Request(Asked);

#[derive(Clone, Debug)]
enum Asked {
    Write {
        offset: u64,
        bytes: u64,
        pieces: Vec<Piece>,
        fua: bool,
    },
    Zero {
        offset: u64,
        bytes: u64,
    },
    Flush,
}

impl Request {
    /// A write; with `fua`, it is durable once it is answered.
    pub fn write(offset: u64, bytes: &[u8], fua: bool) -> Self {
        let pieces = pages_of(offset, bytes.len());
        let pieces = pieces.map(|(page, from, range)| {
            let bytes = &bytes[range];
            if bytes.len() == PAGE_BYTES {
                Piece::Whole(page, Page::shared(bytes))
            } else {
                Piece::Part(page, from, bytes.into())
            }
        });
        Self(Asked::Write {
            offset,
            bytes: bytes.len() as u64,
            pieces: pieces.collect(),
            fua,
        })
    }

    /// A discard, or a write of zeros: the range reads as zeros from now on. It is as little durable
    /// as a write.
    pub fn zero(offset: u64, bytes: u64) -> Self {
        Self(Asked::Zero { offset, bytes })
    }

    /// A flush.
    pub fn flush() -> Self {
        Self(Asked::Flush)
    }

    /// Whether it is a flush.
    pub fn is_flush(&self) -> bool {
        matches!(self.0, Asked::Flush)
    }

    /// Whether it is a write that is durable by itself.
    pub fn is_fua(&self) -> bool {
        matches!(self.0, Asked::Write { fua: true, .. })
    }

    /// Where it writes, and how many bytes; none for a flush.
    pub fn range(&self) -> Option<(u64, u64)> {
        match self.0 {
            Asked::Write { offset, bytes, .. } | Asked::Zero { offset, bytes } => {
                Some((offset, bytes))
            }
            Asked::Flush => None,
        }
    }

    /// The bytes that it writes; none for a flush, or if they are zeros by what it is.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        let Asked::Write { pieces, .. } = &self.0 else {
            return None;
        };
        let mut content = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Whole(_, Some(page)) => content.extend_from_slice(page.bytes()),
                Piece::Whole(_, None) => content.extend_from_slice(&[0; PAGE_BYTES]),
                Piece::Part(_, _, bytes) => content.extend_from_slice(bytes),
            }
        }
        Some(content)
    }

    /// How many sectors it writes.
    pub fn sectors(&self) -> u64 {
        let (offset, bytes) = self.range().unwrap_or((0, 0));
        (offset % SECTOR_BYTES as u64 + bytes).div_ceil(SECTOR_BYTES as u64)
    }

    /// Whether two requests write to the same place.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Some((one, one_bytes)), Some((two, two_bytes))) = (self.range(), other.range()) else {
            return false;
        };
        one < two + two_bytes && two < one + one_bytes
    }

    /// Does it to an image.
    pub fn apply(&self, image: &mut Image) {
        match &self.0 {
            Asked::Write { pieces, .. } => {
                for piece in pieces {
                    match piece {
                        Piece::Whole(page, content) => image.set_page(*page, content.clone()),
                        Piece::Part(page, from, bytes) => image.write_in_page(*page, *from, bytes),
                    }
                }
            }
            Asked::Zero { offset, bytes } => image.zero(*offset, *bytes),
            Asked::Flush => {}
        }
    }

    /// Does a part of it: of its sectors, counted from 0, those that `keep` says reach the disk.
    pub fn apply_torn(&self, image: &mut Image, keep: impl Fn(u64) -> bool) {
        let Some((offset, bytes)) = self.range() else {
            return;
        };
        let mut whole = image.clone();
        self.apply(&mut whole);
        let (sector_bytes, end) = (SECTOR_BYTES as u64, offset + bytes);
        let first = offset / sector_bytes;
        let mut sector = [0; SECTOR_BYTES];
        for number in (0..self.sectors()).filter(|number| keep(*number)) {
            let from = ((first + number) * sector_bytes).max(offset);
            let to = ((first + number + 1) * sector_bytes).min(end);
            let part = &mut sector[..super::image::index(to - from)];
            whole.read(from, part);
            image.write(from, part);
        }
    }
}

/// Something that the disk answered.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the clock said when the request arrived: what had been answered by then has an index
    /// up to this.
    pub arrived: u64,
    /// What the clock was raised to before the answer was given: the entry's index.
    pub answered: u64,
    /// What was asked.
    pub request: Request,
    /// The answer was an error, and nothing was done. After a crash a failed write may be there all
    /// the same.
    pub failed: bool,
}

/// What a disk held when a recording began, and all that it answered since.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the clock said when the recording began.
    pub start: u64,
    /// What it said when the recording ended.
    pub end: u64,
    /// What the disk held when the recording began, all of it taken to be durable.
    pub base: Image,
    /// What was answered, in the order of indices: `start < answered <= end`.
    pub entries: Vec<Entry>,
}

impl Recording {
    /// What the disk held at an index: everything answered by then.
    pub fn image_at(&self, index: u64) -> Image {
        let mut image = self.base.clone();
        let answered = self
            .entries
            .iter()
            .take_while(|entry| entry.answered <= index);
        let done = answered.filter(|entry| !entry.failed);
        done.for_each(|entry| entry.request.apply(&mut image));
        image
    }

    /// How many flushes were answered.
    pub fn flushes(&self) -> usize {
        let flushes = self.entries.iter().filter(|entry| entry.request.is_flush());
        flushes.filter(|entry| !entry.failed).count()
    }

    /// How many writes were answered, discards and zeros included.
    pub fn writes(&self) -> usize {
        let writes = self
            .entries
            .iter()
            .filter(|entry| !entry.request.is_flush());
        writes.filter(|entry| !entry.failed).count()
    }
}
