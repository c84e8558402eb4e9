//! The store's format.

use std::io;

use plugpull::sim::FileHandle;
use twox_hash::XxHash3_64;

pub(crate) const HEADER_BYTES: usize = 512;
/// Room for the longest payload of a tiny workload; torn in three places.
pub(crate) const SLOT_BYTES: usize = 1536;
pub(crate) const SLOTS: u64 = 4;
pub(crate) const SEGMENT_BYTES: usize = HEADER_BYTES + 4 * SLOT_BYTES;

/// One entry in its slot: `number u64 | durable u64 | length u32 | checksum u64 | payload`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// Everything below had been made durable when the entry's group was begun.
    pub(crate) durable: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) whole: bool,
}

const PAYLOAD_AT: usize = 28;

impl Entry {
    pub(crate) fn checksum(&self) -> u64 {
        let seed = self.number << 32 | self.durable;
        XxHash3_64::oneshot_with_seed(seed, &self.payload)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).expect("a short payload");
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend(self.durable.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(self.checksum().to_le_bytes());
        bytes.extend(&self.payload);
        bytes.resize(SLOT_BYTES, 0);
        bytes
    }

    /// Whole or not; `None` if nothing makes sense, as in a slot that was never written.
    pub(crate) fn decode_any(slot: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*slot.get(at..)?.first_chunk()?));
        let len = u32::from_le_bytes(*slot[16..].first_chunk()?);
        let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
        let mut entry = Self {
            number: word(0)?,
            durable: word(8)?,
            payload: slot.get(PAYLOAD_AT..PAYLOAD_AT + len)?.to_vec(),
            whole: true,
        };
        entry.whole = word(20)? == entry.checksum();
        Some(entry)
    }

    pub(crate) fn decode(slot: &[u8]) -> Option<Self> {
        Self::decode_any(slot).filter(|entry| entry.whole)
    }
}

pub(crate) fn name_of(segment: u64) -> String {
    format!("{segment:04}.seg")
}

pub(crate) fn header_of(segment: u64) -> Vec<u8> {
    let mut bytes = b"segment ".to_vec();
    bytes.extend(segment.to_le_bytes());
    bytes.extend(XxHash3_64::oneshot_with_seed(segment, b"header").to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

pub(crate) fn offset_of(number: u64) -> u64 {
    HEADER_BYTES as u64 + number % SLOTS * SLOT_BYTES as u64
}

pub(crate) fn write_all(
    file: &dyn FileHandle,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
