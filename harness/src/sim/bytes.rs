//! Bytes and sizes: what a write or a new length leaves pending.

use std::ops::Range;
use std::sync::Arc;

use super::content::{PAGE_BYTES, SECTOR_BYTES};
use super::disk::Disk;
use super::nodes::{Ino, Write, Written};

impl Disk {
    pub(crate) fn write(&mut self, ino: Ino, bytes: &[u8], offset: u64) {
        let op = self.tick();
        if bytes.is_empty() {
            return;
        }
        let file = self.file_mut(ino);
        let before = file.live.len();
        file.live.write_at(bytes, offset);
        let sector_bytes = SECTOR_BYTES as u64;
        let first = offset / sector_bytes;
        let end = (offset + bytes.len() as u64).div_ceil(sector_bytes);
        let aligned =
            offset.is_multiple_of(sector_bytes) && bytes.len().is_multiple_of(SECTOR_BYTES);
        let sectors: Arc<[u8]> = if aligned {
            bytes.into()
        } else {
            let count = usize::try_from(end - first).expect("as long as what was written");
            file.live.sectors(first, count).into()
        };
        file.writes.push(Write {
            op,
            first,
            bytes: Written::Bytes(sectors),
            grew: before..file.live.len(),
        });
        let len = file.live.len();
        // Of a size that a failed sync has dropped, a write brings back as much as its own page.
        let reached = (end * sector_bytes)
            .next_multiple_of(PAGE_BYTES as u64)
            .min(len);
        let pending = file.sizes.last().copied().unwrap_or(file.durable.len());
        if len != before {
            file.sizes.push(len);
        } else if file.diverged && reached > pending {
            file.sizes.push(reached);
        }
    }

    pub(crate) fn set_len(&mut self, ino: Ino, len: u64) {
        let op = self.tick();
        let file = self.file_mut(ino);
        let before = file.live.len();
        file.live.set_len(len);
        if len == before && (!file.diverged || len == file.durable.len()) {
            return;
        }
        file.sizes.push(len);
        if len >= before {
            return;
        }
        file.freed = op;
        // What was cut off must not come back when the file grows again.
        let sector_bytes = SECTOR_BYTES as u64;
        let mut first = len / sector_bytes;
        if !len.is_multiple_of(sector_bytes) {
            let bytes = file.live.sectors(first, 1).into();
            file.writes.push(Write {
                op,
                first,
                bytes: Written::Bytes(bytes),
                grew: len..len,
            });
            first += 1;
        }
        let count = before.div_ceil(sector_bytes).saturating_sub(first);
        if count > 0 {
            file.writes.push(Write {
                op,
                first,
                bytes: Written::Zeros(count),
                grew: len..len,
            });
        }
    }

    /// Puts zeros over a range; what lies behind the end of the file stays away. Pending like a write.
    pub(crate) fn punch_hole(&mut self, ino: Ino, range: Range<u64>) {
        let op = self.tick();
        let file = self.file_mut(ino);
        let len = file.live.len();
        let end = range.end.min(len);
        if range.start >= end {
            return;
        }
        file.live.punch_hole(range.start..end);
        file.freed = op;
        let sector_bytes = SECTOR_BYTES as u64;
        // A sector that is hit in part is written as it is now; the end of the file ends its sector.
        let whole_from = range.start.div_ceil(sector_bytes);
        let whole_to = if end == len {
            end.div_ceil(sector_bytes)
        } else {
            end / sector_bytes
        };
        let partial = [range.start / sector_bytes, end / sector_bytes];
        let partial = partial.into_iter().filter(|sector| {
            let (from, to) = (sector * sector_bytes, (sector + 1) * sector_bytes);
            range.start.max(from) < end.min(to) && !(whole_from..whole_to).contains(sector)
        });
        let mut partial: Vec<u64> = partial.collect();
        partial.dedup();
        for first in partial {
            let bytes = file.live.sectors(first, 1).into();
            file.writes.push(Write {
                op,
                first,
                bytes: Written::Bytes(bytes),
                grew: len..len,
            });
        }
        if whole_from < whole_to {
            file.writes.push(Write {
                op,
                first: whole_from,
                bytes: Written::Zeros(whole_to - whole_from),
                grew: len..len,
            });
        }
    }
}
