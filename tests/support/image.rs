//! Reads and forges a log's files from their documented layout, independently of the log's own
//! code as far as possible.

use std::path::Path;

use groupwal::format::{HEADER_BYTES, Header, Seed, payload_is_valid};

use super::mem::Image;

/// The fields of a segment header that frames depend on.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFields {
    pub block_bytes: usize,
    pub log_id: [u8; 16],
    pub salt: u64,
}

/// A valid frame header in an image.
#[derive(Clone, Debug)]
pub struct FrameAt {
    pub file: String,
    pub offset: usize,
    pub header: Header,
    /// Whether its payload is valid too.
    pub whole: bool,
}

impl FrameAt {
    /// The bytes that mean something: header and payload.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + HEADER_BYTES + self.header.payload_len as usize
    }
}

pub fn segment_name(id: u64) -> String {
    format!("{id:020}.seg")
}

/// Names of the segments, oldest first.
pub fn segment_names(image: &Image) -> Vec<String> {
    names(image, "seg")
}

pub fn spare_names(image: &Image) -> Vec<String> {
    names(image, "spare")
}

fn names(image: &Image, extension: &str) -> Vec<String> {
    let has = |name: &&String| Path::new(name).extension() == Some(extension.as_ref());
    image.keys().filter(has).cloned().collect()
}

/// Reads a segment header; `None` if there is none worth the name.
pub fn segment_fields(bytes: &[u8]) -> Option<SegmentFields> {
    let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if !bytes.starts_with(b"groupwal") || u64_at(56)? != crc_fast::crc64_nvme(&bytes[..56]) {
        return None;
    }
    let block_bytes = u32::from_le_bytes(*bytes[12..].first_chunk()?) as usize;
    (block_bytes >= HEADER_BYTES).then_some(SegmentFields {
        block_bytes,
        log_id: *bytes[24..].first_chunk()?,
        salt: u64_at(48)?,
    })
}

/// An empty segment of `len` bytes with a valid header; the sizes are taken as they are.
pub fn forge_segment(
    version: u32,
    block_bytes: usize,
    len: usize,
    log_id: [u8; 16],
    segment_id: u64,
    salt: u64,
) -> Vec<u8> {
    let mut bytes = b"groupwal".to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(block_bytes).unwrap().to_le_bytes());
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    bytes.extend_from_slice(&log_id);
    bytes.extend_from_slice(&segment_id.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes.extend_from_slice(&crc_fast::crc64_nvme(&bytes).to_le_bytes());
    bytes.resize(len, 0);
    bytes
}

/// Every block of every segment that holds a valid frame header, in the order of the files.
pub fn frames(image: &Image) -> Vec<FrameAt> {
    let mut found = Vec::new();
    for file in segment_names(image) {
        let bytes = &image[&file];
        let Some(fields) = segment_fields(bytes) else {
            continue;
        };
        for offset in (fields.block_bytes..bytes.len()).step_by(fields.block_bytes) {
            let seed = Seed::new(fields.log_id, fields.salt, offset as u64);
            if let Some((header, checksum)) = Header::decode(seed, &bytes[offset..]) {
                let start = offset + HEADER_BYTES;
                let payload = bytes.get(start..start + header.payload_len as usize);
                found.push(FrameAt {
                    file: file.clone(),
                    offset,
                    header,
                    whole: payload.is_some_and(|p| payload_is_valid(seed, &header, checksum, p)),
                });
            }
        }
    }
    found
}

/// Every entry below it was durable, as the surviving headers say.
pub fn watermark(image: &Image) -> u64 {
    let seqs = frames(image).into_iter().map(|f| f.header.durable_seq);
    seqs.max().unwrap_or(0)
}

/// Writes a frame, valid for its place, into a segment's bytes, and returns where it ends.
///
/// `header.payload_len` is taken from the payload.
pub fn forge_frame(segment: &mut [u8], offset: usize, header: Header, payload: &[u8]) -> usize {
    let fields = segment_fields(segment).expect("a segment with a header");
    let seed = Seed::new(fields.log_id, fields.salt, offset as u64);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(b"gWf1");
    let flags = u32::from(header.seal) | u32::from(header.lost) << 1;
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&header.entry_count.to_le_bytes());
    for field in [
        header.group,
        header.first_seq,
        header.durable_seq,
        header.trim_seq,
        seed.checksum(payload),
    ] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&seed.checksum(&bytes).to_le_bytes());
    bytes.extend_from_slice(payload);
    segment[offset..offset + bytes.len()].copy_from_slice(&bytes);
    offset + bytes.len().next_multiple_of(fields.block_bytes)
}

/// The payload of a frame that holds opaque entries.
pub fn opaque_payload(entries: &[&[u8]]) -> Vec<u8> {
    let mut payload = Vec::new();
    for entry in entries {
        payload.push(2);
        payload.extend_from_slice(&u32::try_from(entry.len()).unwrap().to_le_bytes());
        payload.extend_from_slice(entry);
    }
    payload
}
