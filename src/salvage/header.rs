//! Works out a damaged segment header from the frames behind it.
//!
//! A frame validates only with its segment's salt, and the salt stands nowhere else. But a CRC is linear
//! over GF(2): for fixed bytes behind it, a 64-bit seed and its checksum map one to one. So a frame
//! header's own checksum tells its seed, the payload's checksum confirms it (one wrong seed in
//! 2^64 would pass), and the seed tells the salt in the same way.

use std::path::Path;

use crate::error::{Error, Result};
use crate::frame::{HEADER_BYTES, Header, POSITION_MAX, payload_is_valid};
use crate::segment::SegmentHeader;
use crate::storage::{StorageFile, read_exact_at};

/// The smallest block: every frame begins on a multiple of it.
const STEP_BYTES: u32 = 512;

/// A header with which the frames of the file validate, as far as they are whole; `None` if none is.
///
/// Without the log's id any will do: the salt makes up for it.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn from_frames(
    path: &Path,
    file: &dyn StorageFile,
    log_id: [u8; 16],
    segment_id: u64,
) -> Result<Option<SegmentHeader>> {
    let len = file
        .length()
        .map_err(|error| Error::io("read the length of", path, error))?;
    let step = u64::from(STEP_BYTES);
    let mut newest: Option<(u64, u64)> = None;
    let mut offset = step;
    let mut bytes = Vec::new();
    while offset + HEADER_BYTES as u64 <= len {
        let read = |bytes: &mut Vec<u8>, from: usize, len: u64| {
            // At most the rest of the file.
            bytes.resize(from + usize::try_from(len).expect("a file's length"), 0);
            read_exact_at(file, &mut bytes[from..], offset + from as u64)
                .map_err(|error| Error::io("read", path, error))
        };
        read(&mut bytes, 0, HEADER_BYTES as u64)?;
        let found = Header::seed_of(&bytes);
        if let Some((seed, header, checksum)) = found
            && header.frame_bytes() <= len - offset
        {
            read(&mut bytes, HEADER_BYTES, u64::from(header.payload_len))?;
            if payload_is_valid(seed, &header, checksum, &bytes[HEADER_BYTES..]) {
                // A recycled file holds frames of an earlier life, with another salt. Their groups
                // are older.
                if newest.is_none_or(|(group, _)| header.group > group) {
                    let salt = seed.salt(log_id, offset);
                    newest = Some((header.group, salt));
                }
                offset += header.frame_bytes().next_multiple_of(step);
                continue;
            }
        }
        offset += step;
    }
    let segment_id = segment_id.min(POSITION_MAX - 1);
    Ok(newest.map(|(_, salt)| SegmentHeader {
        block_bytes: STEP_BYTES,
        segment_bytes: len,
        log_id,
        segment_id,
        salt,
    }))
}
