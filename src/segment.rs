//! One segment file: its header, and where its frames go.
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
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::frame::{FrameBuffer, HEADER_BYTES, Header, POSITION_MAX, Seed};
use crate::names::segment_name;
use crate::shelf::{File, Shelf};
use crate::storage::{RawFile, StorageFile, read_exact_at};
use crate::sync::Arc;

/// Bytes of a segment header. Frozen.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

/// The number of blocks at the end of each segment into which no entries go. On a full disk a trim that
/// frees a segment has a place there for its frame, and so has the seal of a log that is closed.
pub(crate) const RESERVED_BLOCKS: u32 = 2;

/// The shortest block.
const BLOCK_BYTES_MIN: u32 = 512;

const MAGIC: [u8; 8] = *b"groupwal";
const VERSION: u32 = 1;

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
    /// Seed of the frame at `offset`.
    fn seed(&self, offset: u64) -> Seed {
        Seed::new(self.log_id, self.salt, offset)
    }

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

    /// What the bytes of a header say, whether or not it is valid.
    fn fields(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        Self {
            block_bytes: u32_at(12),
            segment_bytes: u64_at(16),
            log_id: *bytes[24..].first_chunk().expect("in range"),
            segment_id: u64_at(40),
            salt: u64_at(48),
        }
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
        let header = Self::fields(bytes);
        let block = header.block_bytes;
        if !(BLOCK_BYTES_MIN..=65_536).contains(&block)
            || !block.is_power_of_two()
            || !header.segment_bytes.is_multiple_of(u64::from(block))
            || header.segment_id >= POSITION_MAX
        {
            return Err("the segment header's numbers are none that a log writes");
        }
        Ok((u32_at(8), header))
    }
}

/// The places in a segment file's `bytes` at which a frame can begin: the offset of each, and the seed
/// of a frame there.
///
/// The segment's header is believed as it stands, damaged or not. There are no places if it is cut
/// short, or its blocks are shorter than any log's.
pub fn frame_places(bytes: &[u8]) -> impl Iterator<Item = (usize, Seed)> {
    let header = bytes.first_chunk().map(SegmentHeader::fields);
    let header = header.filter(|header| header.block_bytes >= BLOCK_BYTES_MIN);
    let end = bytes.len();
    header.into_iter().flat_map(move |header| {
        let block = header.block_bytes as usize;
        (block..end)
            .step_by(block)
            .map(move |offset| (offset, header.seed(offset as u64)))
    })
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
        self.header.seed(offset)
    }

    /// Whether the checksum of the frame at `offset` fits its payload. `frame` is all of it but padding.
    pub(crate) fn payload_fits(&self, offset: u64, frame: &[u8]) -> bool {
        let seed = self.seed(offset);
        Header::decode(seed, frame)
            .is_some_and(|(_, checksum)| seed.checksum(&frame[HEADER_BYTES..]) == checksum)
    }
}
