//! Where a file has bytes, and where it has holes.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::pages::PAGE_BYTES;

/// Pieces begin and end where pages do.
const PAGE: u64 = PAGE_BYTES as u64;

/// A file without holes that is not longer than this is one piece, and the kernel is not asked.
const SMALL: u64 = 1 << 18;

/// The pieces of a file that have bytes, with whole pages but for the file's end. `allocated` bytes have
/// space of their own: a preallocated file has space for all of them, and bytes only where it was written.
pub(super) fn data_ranges(file: &File, len: u64, allocated: u64) -> io::Result<Vec<Range<u64>>> {
    if len == 0 || (allocated >= len && len <= SMALL) {
        return Ok(Vec::from_iter((len > 0).then_some(0..len)));
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start / PAGE * PAGE,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start.max(at)))?;
        let end = end.next_multiple_of(PAGE).min(len);
        match ranges.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => ranges.push(start..end),
        }
        at = end;
    }
    Ok(ranges)
}
