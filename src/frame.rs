//! A frame: one write group on disk. Pure: bytes in, bytes out.
//!
//! # Layout
//!
//! A frame starts on a block boundary of its segment and is padded with zeros to the next one, so
//! that no block with acknowledged bytes is ever written again. All integers are little-endian.
//!
//! ```text
//! offset  size
//!      0     4  magic            "gWf1"
//!      4     4  flags            bit 0: this is the closing seal; bit 1: a lost group; the others zero
//!      8     4  payload_len      bytes of payload behind the header
//!     12     4  entry_count      entries in the payload; may be zero
//!     16     8  group            number of this group, from 0, without gaps over the whole log
//!     24     8  first_seq        sequence number of the first entry
//!     32     8  durable_seq      everything below it was durable when this frame was written
//!     40     8  trim_seq         everything below it may be gone
//!     48     8  payload_checksum CRC-64/NVME of seed and payload
//!     56     8  header_checksum  CRC-64/NVME of seed and the 56 bytes before
//!     64        payload          the entries, one after another; then zeros up to the block boundary
//! ```
//!
//! The layout is frozen. The header never crosses a 512-byte sector, the unit that disks write
//! whole, so a frame that was torn still has either its whole header or none of it: a torn frame
//! *testifies* that its predecessors were durable. One flush is in flight at a time, and a group is
//! written only after the group before it is durable; so a valid header numbered `group` vouches
//! for every frame with a lower number, and its `durable_seq` says the same in entries.
//!
//! A *lost group* stands for `entry_count` entries that could not be brought back. Only salvage writes
//! one: it keeps the numbers of the entries behind a hole, and says which ones are missing. It has
//! no payload and is no seal.
//!
//! Both checksums begin with a [`Seed`]: the log, the segment's salt and the frame's own offset. A
//! CRC maps different seeds before equal bytes to different sums, always, so a frame never
//! validates at another offset, in a recycled file, in another segment, or as an image of itself
//! inside an opaque payload.

use aligned_vec::{AVec, ConstAlign};
use crc_fast::{CrcAlgorithm, Digest};

use crate::entry::{self, sealed::Sealed};

/// Bytes of a frame header. Frozen.
pub const HEADER_BYTES: usize = 64;

/// No group, entry or segment has a number as high: a log would take centuries to get there. So
/// whatever is counted on from a number that was read does not overflow.
pub(crate) const POSITION_MAX: u64 = 1 << 63;

const MAGIC: [u8; 4] = *b"gWf1";
const FLAG_SEAL: u32 = 1;
const FLAG_LOST: u32 = 2;
/// Memory alignment of a group's buffer: what `O_DIRECT` asks for on every common device.
pub(crate) const BUFFER_ALIGN: usize = 4096;

/// What a frame's checksums begin with: where the frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed of the frame at byte `offset` of the segment with this `salt` in the log with this
    /// id.
    pub fn new(log_id: [u8; 16], salt: u64, offset: u64) -> Self {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(&log_id);
        digest.update(&salt.to_le_bytes());
        digest.update(&offset.to_le_bytes());
        Self(digest.finalize())
    }

    /// Checksum of `bytes` at this place.
    pub fn checksum(self, bytes: &[u8]) -> u64 {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(&self.0.to_le_bytes());
        digest.update(bytes);
        digest.finalize()
    }

    /// The salt with which this is the seed of the frame at `offset`: there is exactly one.
    pub(crate) fn salt(self, log_id: [u8; 16], offset: u64) -> u64 {
        preimage(self.0, |salt| Self::new(log_id, salt, offset).0)
    }
}

/// The argument for which `f` has this value. `f` is the checksum of 64 bits among bytes that do not
/// change: a one-to-one affine map over GF(2).
fn preimage(value: u64, f: impl Fn(u64) -> u64) -> u64 {
    let constant = f(0);
    // Gaussian elimination: by its highest bit, a value of the linear part and its argument.
    let mut basis = [(0, 0); 64];
    let reduce = |basis: &[(u64, u64); 64], mut value: u64, mut argument: u64| {
        while value != 0 {
            let (known, its_argument) = basis[value.ilog2() as usize];
            if known == 0 {
                break;
            }
            value ^= known;
            argument ^= its_argument;
        }
        (value, argument)
    };
    for bit in 0..64 {
        let (image, argument) = reduce(&basis, f(1 << bit) ^ constant, 1 << bit);
        debug_assert_ne!(image, 0, "the map is one to one");
        basis[image.ilog2() as usize] = (image, argument);
    }
    reduce(&basis, value ^ constant, 0).1
}

/// A frame's header, checksums aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload behind the header.
    pub payload_len: u32,
    /// Entries in the payload.
    pub entry_count: u32,
    /// Number of this group, from 0, without gaps over the whole log.
    pub group: u64,
    /// Sequence number of the first entry; of the next one to come if there is none.
    pub first_seq: u64,
    /// Every entry below it was durable when this frame was written.
    pub durable_seq: u64,
    /// Every entry below it may be gone.
    pub trim_seq: u64,
    /// Nothing was in flight when this frame was written, and nothing follows it but a reopened
    /// log.
    pub seal: bool,
    /// The entries of this group are lost: there is no payload, and they cannot be replayed.
    pub lost: bool,
}

/// What a write group says in its frame beside its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preamble {
    /// Sequence number of the group's first entry; of the next one to come if there is none.
    pub(crate) first_seq: u64,
    /// Every entry below it may be gone.
    pub(crate) trim_seq: u64,
    /// Nothing follows but a reopened log.
    pub(crate) seal: bool,
}

impl Header {
    /// Decodes the header at the start of `bytes`; `None` if there is no valid one for this place.
    ///
    /// Returns the payload's checksum beside it. A header says nothing of its payload: the frame
    /// may be torn.
    pub fn decode(seed: Seed, bytes: &[u8]) -> Option<(Self, u64)> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
        if bytes[..4] != MAGIC || u64_at(56) != seed.checksum(&bytes[..56]) {
            return None;
        }
        let flags = u32_at(4);
        let header = Self {
            payload_len: u32_at(8),
            entry_count: u32_at(12),
            group: u64_at(16),
            first_seq: u64_at(24),
            durable_seq: u64_at(32),
            trim_seq: u64_at(40),
            seal: flags & FLAG_SEAL != 0,
            lost: flags & FLAG_LOST != 0,
        };
        // What no writer produces is not a header, whatever its checksum says.
        let lost_is_empty = header.payload_len == 0 && header.entry_count > 0 && !header.seal;
        let well_formed = flags & !(FLAG_SEAL | FLAG_LOST) == 0
            && (!header.lost || lost_is_empty)
            && header.durable_seq <= header.first_seq
            && header.trim_seq <= header.durable_seq
            && header.first_seq < POSITION_MAX
            && header.group < POSITION_MAX;
        well_formed.then(|| (header, u64_at(48)))
    }

    /// For bytes that look like a header whose seed nobody knows: the seed with which they are one,
    /// and what [`decode`](Self::decode) says with it. There is one for almost any bytes; only a payload that
    /// validates with it shows that it was the right one.
    pub(crate) fn seed_of(bytes: &[u8]) -> Option<(Seed, Self, u64)> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let checksum = u64::from_le_bytes(*bytes[56..].first_chunk().expect("in range"));
        let seed = Seed(preimage(checksum, |seed| Seed(seed).checksum(&bytes[..56])));
        let (header, payload_checksum) = Self::decode(seed, bytes)?;
        Some((seed, header, payload_checksum))
    }

    fn encode(&self, seed: Seed, payload_checksum: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        let seal = if self.seal { FLAG_SEAL } else { 0 };
        let lost = if self.lost { FLAG_LOST } else { 0 };
        bytes[4..8].copy_from_slice(&(seal | lost).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.entry_count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.group.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable_seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.trim_seq.to_le_bytes());
        bytes[48..56].copy_from_slice(&payload_checksum.to_le_bytes());
        let header_checksum = seed.checksum(&bytes[..56]);
        bytes[56..].copy_from_slice(&header_checksum.to_le_bytes());
        bytes
    }

    /// Whether a valid frame with this header goes on with a log whose next entry is `next_seq`, in
    /// group `next_group` if that is known. One that does not is none of the log's, whatever it
    /// says: recovery and replay see the same log.
    pub(crate) fn continues(&self, next_seq: u64, next_group: Option<u64>) -> bool {
        self.first_seq == next_seq && next_group.is_none_or(|group| self.group == group)
    }

    /// Header and payload, padding not counted.
    pub fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_len)
    }

    /// The sequence number that follows the frame's last entry.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.entry_count)
    }
}

/// Whether `payload` is what `header` was written for: checksum, entry count and every entry's
/// structure.
pub fn payload_is_valid(seed: Seed, header: &Header, checksum: u64, payload: &[u8]) -> bool {
    payload.len() as u64 == u64::from(header.payload_len)
        && seed.checksum(payload) == checksum
        && payload_is_well_formed(header, payload)
}

/// The same but for length and checksum: whether `payload` is made of as many entries as `header` says.
pub(crate) fn payload_is_well_formed(header: &Header, payload: &[u8]) -> bool {
    if header.lost {
        return true;
    }
    let mut rest = payload;
    for _ in 0..header.entry_count {
        match entry::decode(rest) {
            Ok((_, next)) => rest = next,
            Err(_) => return false,
        }
    }
    rest.is_empty()
}

/// Memory in which a group's frame is built: header room first, entries behind it, aligned for
/// `O_DIRECT`.
///
/// Its capacity grows with the groups and is kept. It doubles, but not beyond what the largest
/// group needs: the log promises its users that bound.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: AVec<u8, ConstAlign<BUFFER_ALIGN>>,
    entry_count: u32,
    /// The entries that are counted are lost.
    is_lost: bool,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self {
            bytes: AVec::new(BUFFER_ALIGN),
            entry_count: 0,
            is_lost: false,
        }
    }
}

impl FrameBuffer {
    /// Appends entries that have been checked and take `len` bytes together, kinds and length
    /// fields included, to a frame of at most `frame_bytes_max` bytes, padding included.
    ///
    /// # Panics
    /// If they take another number of bytes.
    pub(crate) fn push<E: Sealed>(&mut self, entries: &[E], len: usize, frame_bytes_max: usize) {
        let start = self.bytes.len().max(HEADER_BYTES);
        self.grow_to(start + len, frame_bytes_max);
        let mut rest = &mut self.bytes[start..];
        for entry in entries {
            let taken = entry.encode(rest);
            rest = &mut rest[taken..];
        }
        assert!(rest.is_empty(), "the entries are shorter than measured");
        self.entry_count += u32::try_from(entries.len()).expect("a group's size is limited");
    }

    /// Appends a group's payload as another frame holds it: `entries` entries, encoded already.
    pub(crate) fn push_payload(&mut self, payload: &[u8], entries: u32, frame_bytes_max: usize) {
        let start = self.bytes.len().max(HEADER_BYTES);
        self.grow_to(start + payload.len(), frame_bytes_max);
        self.bytes[start..].copy_from_slice(payload);
        self.entry_count += entries;
    }

    /// Makes an empty buffer that of a lost group.
    pub(crate) fn set_lost(&mut self, entries: u32) {
        debug_assert!(self.bytes.is_empty() && entries > 0);
        self.entry_count = entries;
        self.is_lost = true;
    }

    /// Extends with zeros. When the capacity runs out it doubles, up to `bytes_max` unless `len` is
    /// more, in whole alignment units.
    fn grow_to(&mut self, len: usize, bytes_max: usize) {
        if len > self.bytes.capacity() {
            let doubled = 2 * self.bytes.capacity();
            let capacity = len
                .max(doubled.min(bytes_max))
                .next_multiple_of(BUFFER_ALIGN);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    /// Entries pushed so far.
    pub(crate) fn entry_count(&self) -> u32 {
        self.entry_count
    }

    /// Bytes of payload pushed so far.
    pub(crate) fn payload_len(&self) -> usize {
        self.bytes.len().saturating_sub(HEADER_BYTES)
    }

    /// Length of the frame when padded to `block_bytes`.
    pub(crate) fn padded_len(&self, block_bytes: usize) -> usize {
        self.bytes
            .len()
            .max(HEADER_BYTES)
            .next_multiple_of(block_bytes)
    }

    /// Pads the frame and writes its header: [`bytes`](Self::bytes) are to be written to disk then.
    ///
    /// No other code builds a header. `group` is the number of this one.
    ///
    /// # Panics
    /// If the payload is longer than a `u32` can say; the log's limits exclude it.
    pub(crate) fn finish(
        &mut self,
        seed: Seed,
        group: u64,
        preamble: Preamble,
        block_bytes: usize,
    ) {
        let end = self.bytes.len().max(HEADER_BYTES);
        let padded = end.next_multiple_of(block_bytes);
        self.grow_to(padded, padded);
        let (head, payload) = self.bytes[..end].split_at_mut(HEADER_BYTES);
        let payload_len = u32::try_from(payload.len()).expect("a group's size is limited");
        let header = Header {
            payload_len,
            entry_count: self.entry_count,
            group,
            first_seq: preamble.first_seq,
            // One flush at a time: whatever came before this group is durable.
            durable_seq: preamble.first_seq,
            trim_seq: preamble.trim_seq,
            seal: preamble.seal,
            lost: self.is_lost,
        };
        head.copy_from_slice(&header.encode(seed, seed.checksum(payload)));
    }

    /// The frame, once it is finished.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the buffer and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entry_count = 0;
        self.is_lost = false;
    }
}
