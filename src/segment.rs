//! One segment file: its header, and the frames that follow.
//!
//! # Layout
//!
//! The first block is the segment's header; frames follow from the second block on.
//!
//! ```text
//! offset  size
//!      0     8  magic          "groupwal"
//!      8     4  version        1
//!     12     4  block_bytes    frames are padded to it
//!     16     8  segment_bytes  length of the file
//!     24    16  log_id         random, the same in all segments of a log
//!     40     8  segment_id     as in the file's name
//!     48     8  salt           random, new whenever the file is made or recycled
//!     56     8  checksum       CRC-64/NVME of the 56 bytes before
//! ```
//!
//! Frozen; these 64 bytes keep their place in every later version. There is no sequence number: a
//! segment is prepared before one is known. It is prepared under a spare name and durable, length
//! included, before it gets its final name; so under a final name an invalid header or a short file
//! is damage, never a crash's doing.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use aligned_vec::{AVec, ConstAlign};

use crate::error::{Error, Kind, Result};
use crate::frame::{
    FrameBuffer, HEADER_BYTES, Header, POSITION_MAX, Seed, payload_is_valid, payload_is_well_formed,
};
use crate::names::segment_name;
use crate::shelf::{File, Shelf};
use crate::storage::{RawFile, StorageFile, read_cached_exact_at, read_exact_at};
use crate::sync::Arc;

/// Bytes of a segment header. Frozen.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

/// The number of blocks at the end of each segment into which no entries go. On a full disk a trim that
/// frees a segment has a place there for its frame, and so has the seal of a log that is closed.
pub(crate) const RESERVED_BLOCKS: u32 = 2;

const MAGIC: [u8; 8] = *b"groupwal";
const VERSION: u32 = 1;
/// How much a scan reads at once. What was read is still in the processor's cache when it is looked
/// at.
const READ_BYTES: usize = 256 << 10;

/// What is on a segment's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) block_bytes: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) log_id: [u8; 16],
    pub(crate) segment_id: u64,
    pub(crate) salt: u64,
}

impl SegmentHeader {
    /// The whole first block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; self.block_bytes as usize];
        block[..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&self.block_bytes.to_le_bytes());
        block[16..24].copy_from_slice(&self.segment_bytes.to_le_bytes());
        block[24..40].copy_from_slice(&self.log_id);
        block[40..48].copy_from_slice(&self.segment_id.to_le_bytes());
        block[48..56].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc_fast::crc64_nvme(&block[..56]);
        block[56..64].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads the header of a file that may be anything; `None` if there is no valid one of this
    /// version.
    pub(crate) fn read(file: &dyn StorageFile) -> Option<Self> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        read_exact_at(file, &mut bytes, 0).ok()?;
        let (version, header) = Self::decode(&bytes).ok()?;
        (version == VERSION).then_some(header)
    }

    /// Decodes a header, or says why it is none; a version is returned apart.
    fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<(u32, Self), &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        if bytes[..8] != MAGIC {
            return Err("the segment header has no magic");
        }
        if u64_at(56) != crc_fast::crc64_nvme(&bytes[..56]) {
            return Err("the segment header's checksum does not match");
        }
        let header = Self {
            block_bytes: u32_at(12),
            segment_bytes: u64_at(16),
            log_id: *bytes[24..].first_chunk().expect("in range"),
            segment_id: u64_at(40),
            salt: u64_at(48),
        };
        let block = header.block_bytes;
        if !(512..=65_536).contains(&block)
            || !block.is_power_of_two()
            || !header.segment_bytes.is_multiple_of(u64::from(block))
            || header.segment_id >= POSITION_MAX
        {
            return Err("the segment header's numbers are none that a log writes");
        }
        Ok((u32_at(8), header))
    }
}

/// A segment. As long as it is written its file is open, and holds its lock.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("header", &self.header)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Segment {
    /// Reads and checks the header of the file that bears `segment_id` as its final name.
    ///
    /// # Errors
    /// `Corrupt` if the header is not valid or the file is shorter than it was made; an I/O error
    /// if it cannot be read.
    pub(crate) fn open(path: PathBuf, file: File, segment_id: u64) -> Result<Self> {
        let len = file
            .length()
            .map_err(|error| Error::io("read the length of", &path, error))?;
        if len < SEGMENT_HEADER_BYTES as u64 {
            let detail = format!("the file is {len} bytes long, too short for a segment header");
            return Err(Error::corrupt(&path, 0, detail));
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        read_exact_at(&*file, &mut bytes, 0).map_err(|error| Error::io("read", &path, error))?;
        let (version, header) =
            SegmentHeader::decode(&bytes).map_err(|detail| Error::corrupt(&path, 0, detail))?;
        if version != VERSION {
            return Err(Error::new(Kind::Version {
                path,
                found: version,
                supported: VERSION,
            }));
        }
        if header.segment_id != segment_id {
            let detail = format!(
                "the file holds segment {}: it was renamed",
                header.segment_id
            );
            return Err(Error::corrupt(&path, 40, detail));
        }
        if len < header.segment_bytes {
            let detail = format!(
                "the file is {len} bytes long, it was made with {}: its end is missing",
                header.segment_bytes
            );
            return Err(Error::corrupt(&path, len, detail));
        }
        Ok(Self { header, path, file })
    }

    /// Nobody writes it any more: its file is open only while it is read.
    pub(crate) fn rest(&mut self, on: &Arc<Shelf>) {
        if let File::Open(file) = &self.file {
            let mut head = [0; SEGMENT_HEADER_BYTES];
            let block = self.header.encode();
            head.copy_from_slice(&block[..SEGMENT_HEADER_BYTES]);
            self.file = on.put(segment_name(self.id()), Some(head), Arc::clone(file));
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.header.segment_id
    }

    pub(crate) fn block_bytes(&self) -> u64 {
        u64::from(self.header.block_bytes)
    }

    /// Offset of the first frame.
    pub(crate) fn first_offset(&self) -> u64 {
        self.block_bytes()
    }

    /// Offset behind the last block.
    pub(crate) fn end_offset(&self) -> u64 {
        self.header.segment_bytes
    }

    /// The bytes for frames, the reserved ones not counted.
    pub(crate) fn room_bytes(&self) -> u64 {
        let kept = u64::from(1 + RESERVED_BLOCKS) * self.block_bytes();
        self.end_offset().saturating_sub(kept)
    }

    /// Whether a frame has room at `offset`; see [`RESERVED_BLOCKS`]. The first frame may take all of
    /// the segment: the largest group would have no place otherwise.
    pub(crate) fn has_room(&self, buffer: &FrameBuffer, offset: u64, seal: bool) -> bool {
        let reserved = if seal || offset == self.first_offset() {
            0
        } else {
            u64::from(RESERVED_BLOCKS) * self.block_bytes()
        };
        offset + self.padded_len(buffer) + reserved <= self.end_offset()
    }

    /// How much of the segment the buffer's frame takes.
    pub(crate) fn padded_len(&self, buffer: &FrameBuffer) -> u64 {
        buffer.padded_len(self.header.block_bytes as usize) as u64
    }

    /// The file as it can be handed to the kernel, if it can: it takes this segment's blocks.
    pub(crate) fn raw(&self) -> Option<RawFile<'_>> {
        self.file
            .raw()
            .filter(|raw| raw.takes_blocks(self.header.block_bytes))
    }

    /// Seed of the frame at `offset`.
    pub(crate) fn seed(&self, offset: u64) -> Seed {
        Seed::new(self.header.log_id, self.header.salt, offset)
    }

    /// Whether the checksum of the frame at `offset` fits its payload. `frame` is all of it but padding.
    pub(crate) fn payload_fits(&self, offset: u64, frame: &[u8]) -> bool {
        let seed = self.seed(offset);
        Header::decode(seed, frame)
            .is_some_and(|(_, checksum)| seed.checksum(&frame[HEADER_BYTES..]) == checksum)
    }
}

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
    /// All but the checksum over its entries: whoever takes the frame looks at that
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
