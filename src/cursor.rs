//! Reads a segment from front to back, frame by frame.

use std::ops::Range;

use aligned_vec::{AVec, ConstAlign};

use crate::error::{Error, Result};
use crate::frame::{HEADER_BYTES, Header, payload_is_valid, payload_is_well_formed};
use crate::segment::Segment;
use crate::storage::{StorageFile, read_cached_exact_at, read_exact_at};
use crate::sync::Arc;

/// How much a scan reads at once. What was read is still in the processor's cache when it is looked
/// at.
const READ_BYTES: usize = 256 << 10;

/// What stands at a cursor's position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole valid frame; its payload lies at this range of [`Cursor::bytes`].
    Frame(Header, Range<usize>),
    /// A valid header whose payload does not validate.
    Torn(Header),
    /// No valid header, or the end of the segment.
    Nothing,
}

/// How a frame is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Whole,
    /// All but the checksum over its entries: the code that takes the frame looks at that
    /// ([`Segment::payload_fits`]).
    ButChecksum,
}

/// Reads a segment from front to back, frame by frame.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) segment: Arc<Segment>,
    /// Position of the next frame.
    pub(crate) offset: u64,
    window: Window,
    /// How much a read takes at once. A frame that is longer is read whole.
    read_bytes: usize,
}

/// Memory for a part of a segment, aligned to pages. It grows as it has to, and is handed from one
/// cursor to the next.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: AVec<u8, ConstAlign<4096>>,
    /// How many of them were read from the file: the rest is left from before.
    len: usize,
    /// File offset of the first.
    offset: u64,
}

/// Where a part of a segment is.
enum Located {
    /// At this range of the window.
    InWindow(Range<usize>),
    /// In the file.
    InFile,
    /// Nowhere: the segment ends before it does.
    Nowhere,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            bytes: AVec::new(4096),
            len: 0,
            offset: 0,
        }
    }
}

impl Window {
    /// Bytes at a range that [`Found::Frame`] named, until the cursor reads on.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[..self.len][range]
    }

    /// How much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets what was read, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }

    fn contains(&self, offset: u64, len: u64) -> bool {
        offset >= self.offset && offset + len <= self.end()
    }
}

impl Cursor {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        let offset = segment.first_offset();
        Self::with_window(segment, offset, Window::default(), READ_BYTES)
    }

    /// A cursor at `offset` that reads `read_bytes` at once, into memory that is there already: what it
    /// holds is of this segment.
    pub(crate) fn with_window(
        segment: Arc<Segment>,
        offset: u64,
        window: Window,
        read_bytes: usize,
    ) -> Self {
        Self {
            segment,
            offset,
            window,
            read_bytes,
        }
    }

    /// The position and the memory, with what has been read.
    pub(crate) fn into_parts(self) -> (Arc<Segment>, u64, Window) {
        (self.segment, self.offset, self.window)
    }

    /// How much a read takes at once, at most.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes as u64
    }

    /// Brings into memory what [`peek_in_window`](Self::peek_in_window) misses, `len` bytes at least, if that
    /// takes no wait for the disk; says whether it did. What cannot be read is left to
    /// [`peek`](Self::peek), which tells errors.
    pub(crate) fn read_cached(&mut self, len: u64) -> bool {
        let read = |file: &dyn StorageFile, bytes: &mut [u8], offset| {
            let is_cached = read_cached_exact_at(file, bytes, offset);
            is_cached.then_some(()).ok_or(())
        };
        self.read_with(self.offset, len, read).is_ok()
    }

    /// Examines what stands at the current position, without moving on.
    ///
    /// # Errors
    /// If the file cannot be read. Invalid bytes are not an error here.
    pub(crate) fn peek(&mut self) -> Result<Found> {
        self.peek_with(Check::Whole)
    }

    /// [`peek`](Self::peek) that may leave something to be checked by others.
    pub(crate) fn peek_with(&mut self, check: Check) -> Result<Found> {
        // At most twice: for a header, and for the rest of a frame longer than a read.
        loop {
            match self.peek_in_window(check) {
                Ok(found) => return Ok(found),
                Err(missing) => self.read(self.offset, missing)?,
            }
        }
    }

    /// [`peek_with`](Self::peek_with) without a read; how many bytes have to be in memory if it takes one.
    pub(crate) fn peek_in_window(&self, check: Check) -> std::result::Result<Found, u64> {
        let header_at = match self.locate(self.offset, HEADER_BYTES as u64) {
            Located::InWindow(range) => range,
            Located::InFile => return Err(HEADER_BYTES as u64),
            Located::Nowhere => return Ok(Found::Nothing),
        };
        let seed = self.segment.seed(self.offset);
        let Some((header, checksum)) = Header::decode(seed, self.bytes(header_at)) else {
            return Ok(Found::Nothing);
        };
        let frame_at = match self.locate(self.offset, header.frame_bytes()) {
            Located::InWindow(range) => range,
            Located::InFile => return Err(header.frame_bytes()),
            Located::Nowhere => return Ok(Found::Torn(header)),
        };
        let payload = frame_at.start + HEADER_BYTES..frame_at.end;
        let bytes = self.bytes(payload.clone());
        let is_valid = match check {
            Check::ButChecksum if !header.lost => payload_is_well_formed(&header, bytes),
            _ => payload_is_valid(seed, &header, checksum, bytes),
        };
        if is_valid {
            Ok(Found::Frame(header, payload))
        } else {
            Ok(Found::Torn(header))
        }
    }

    /// Moves behind the frame with this header.
    pub(crate) fn advance(&mut self, header: &Header) {
        self.offset += header
            .frame_bytes()
            .next_multiple_of(self.segment.block_bytes());
    }

    /// The valid header in the block at the current position, if any, whatever its payload; moves
    /// one block on. `None` at the end of the segment.
    pub(crate) fn next_block(&mut self) -> Result<Option<(u64, Option<Header>)>> {
        let offset = self.offset;
        let Some(at) = self.fill(offset, HEADER_BYTES as u64)? else {
            return Ok(None);
        };
        let header = Header::decode(self.segment.seed(offset), self.bytes(at));
        self.offset += self.segment.block_bytes();
        Ok(Some((offset, header.map(|(header, _)| header))))
    }

    /// What follows the frame with this header, at the current position, up to the block's end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn padding(&mut self, header: &Header) -> Result<&[u8]> {
        let len = header.frame_bytes();
        let padded = len.next_multiple_of(self.segment.block_bytes());
        if padded == len {
            return Ok(&[]);
        }
        let padding = self.fill(self.offset + len, padded - len)?;
        Ok(self.bytes(padding.expect("a frame ends where its last block does, at most")))
    }

    /// Bytes at a range that [`Found::Frame`] named; valid until the cursor reads on.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.window.bytes(range)
    }

    /// Makes `len` bytes from `offset` available and says where in the window they are; `None` if
    /// the segment ends before.
    fn fill(&mut self, offset: u64, len: u64) -> Result<Option<Range<usize>>> {
        loop {
            match self.locate(offset, len) {
                Located::InWindow(range) => return Ok(Some(range)),
                Located::InFile => self.read(offset, len)?,
                Located::Nowhere => return Ok(None),
            }
        }
    }

    fn locate(&self, offset: u64, len: u64) -> Located {
        let end = self.segment.end_offset();
        if offset.checked_add(len).is_none_or(|needed| needed > end) {
            return Located::Nowhere;
        }
        if !self.window.contains(offset, len) {
            return Located::InFile;
        }
        let start = usize::try_from(offset - self.window.offset).expect("within the window");
        let len = usize::try_from(len).expect("within the window");
        Located::InWindow(start..start + len)
    }

    /// Moves the window so that it begins at `offset`, and reads at least `len` bytes, which lie in
    /// the segment. What is allocated is bounded by the length of the file.
    fn read(&mut self, offset: u64, len: u64) -> Result<()> {
        self.read_with(offset, len, read_exact_at)
            .map_err(|error| Error::io("read", &self.segment.path, error))
    }

    /// [`read`](Self::read) with a way to fill memory from an offset of the file.
    fn read_with<E>(
        &mut self,
        offset: u64,
        len: u64,
        read: impl FnOnce(&dyn StorageFile, &mut [u8], u64) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let window = &mut self.window;
        // Keep what is there already: a frame that straddles the window's end.
        let kept = if window.contains(offset, 0) {
            let from = usize::try_from(offset - window.offset).expect("within the window");
            window.bytes.copy_within(from..window.len, 0);
            window.len - from
        } else {
            0
        };
        let len = usize::try_from(len).expect("a frame fits into memory");
        let left = usize::try_from(self.segment.end_offset() - offset).unwrap_or(usize::MAX);
        let wanted = len.max(self.read_bytes).min(left);
        if window.bytes.len() < wanted {
            window.bytes.reserve_exact(wanted - window.bytes.len());
            window.bytes.resize(wanted, 0);
        }
        (window.offset, window.len) = (offset, kept);
        let missing = &mut window.bytes[kept..wanted];
        read(&*self.segment.file, missing, offset + kept as u64)?;
        window.len = wanted;
        Ok(())
    }
}
