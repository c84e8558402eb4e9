//! A file's bytes in pages that are shared until they are written.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use twox_hash::XxHash3_64;

/// The unit that a disk writes whole.
pub const SECTOR_BYTES: usize = 512;
/// The unit in which file systems allocate and cache.
pub const PAGE_BYTES: usize = 4096;

const SECTORS_PER_PAGE: usize = PAGE_BYTES / SECTOR_BYTES;

/// A page, with its hash once somebody asked for it.
#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE_BYTES],
    /// One bit a sector: it holds garbage, one as good as another.
    garbage: u8,
    hash: OnceLock<u64>,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes,
            garbage: self.garbage,
            hash: OnceLock::new(),
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            bytes: [0; PAGE_BYTES],
            garbage: 0,
            hash: OnceLock::new(),
        }
    }
}

impl Page {
    /// Pages that differ in garbage alone have the same hash.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            if self.garbage == 0 {
                return XxHash3_64::oneshot(&self.bytes);
            }
            let mut bytes = self.bytes;
            for sector in 0..SECTORS_PER_PAGE {
                if self.garbage & 1 << sector != 0 {
                    bytes[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0xff);
                }
            }
            XxHash3_64::oneshot_with_seed(self.garbage.into(), &bytes)
        })
    }
}

/// Pages that are shared together: a write to a clone copies a pointer to each of them.
const CHUNK_PAGES: usize = 64;

/// Pages from the start of a chunk; `None`, like what lies behind the last one, is zeros.
type Chunk = Vec<Option<Arc<Page>>>;

/// A file's length and bytes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    len: u64,
    /// By their numbers. A chunk that is missing is zeros: what a file costs is what was written to it.
    chunks: Arc<BTreeMap<usize, Arc<Chunk>>>,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads at `offset`, up to the end of the file.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> usize {
        let left = self.len.saturating_sub(offset);
        let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.copy_out(&mut bytes[..len], offset);
        len
    }

    /// Copies bytes out, zeros where there is nothing, the file's length left out of account.
    fn copy_out(&self, bytes: &mut [u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = split(offset + done as u64);
            let len = (PAGE_BYTES - at).min(bytes.len() - done);
            let out = &mut bytes[done..done + len];
            match self.page(page) {
                Some(page) => out.copy_from_slice(&page.bytes[at..at + len]),
                None => out.fill(0),
            }
            done += len;
        }
    }

    /// The whole sectors with these numbers.
    pub(crate) fn sectors(&self, first: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count * SECTOR_BYTES];
        self.copy_out(&mut bytes, first * SECTOR_BYTES as u64);
        bytes
    }

    /// Puts zeros over a range up to the end of the file at most; whole pages become holes.
    pub(crate) fn punch_hole(&mut self, range: Range<u64>) {
        let end = range.end.min(self.len);
        let mut at = range.start;
        while at < end {
            let (index, within) = split(at);
            let len = (PAGE_BYTES as u64 - within as u64).min(end - at);
            if len == PAGE_BYTES as u64 {
                if self.page(index).is_some() {
                    self.chunk_mut(index / CHUNK_PAGES)[index % CHUNK_PAGES] = None;
                }
            } else {
                let zeros = [0; PAGE_BYTES];
                let len = usize::try_from(len).expect("less than a page");
                self.write_at(&zeros[..len], at);
            }
            at += len;
        }
    }

    /// The pieces that are not holes, each from the beginning of a page on.
    pub(crate) fn pieces(&self) -> Vec<(u64, Vec<u8>)> {
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        for (index, page) in self.pages() {
            let offset = (index * PAGE_BYTES) as u64;
            match pieces.last_mut() {
                Some((at, bytes)) if *at + bytes.len() as u64 == offset => {
                    bytes.extend_from_slice(&page.bytes);
                }
                _ => pieces.push((offset, page.bytes.to_vec())),
            }
        }
        pieces
    }

    /// All bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).expect("it is in memory")];
        self.copy_out(&mut bytes, 0);
        bytes
    }

    /// The pages that are no holes, in order, with their numbers.
    fn pages(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.chunks.iter().flat_map(|(chunk, pages)| {
            let pages = (chunk * CHUNK_PAGES..).zip(&**pages);
            pages.filter_map(|(index, page)| Some((index, page.as_deref()?)))
        })
    }

    fn page(&self, index: usize) -> Option<&Page> {
        let chunk = self.chunks.get(&(index / CHUNK_PAGES))?;
        chunk.get(index % CHUNK_PAGES)?.as_deref()
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut Chunk {
        Arc::make_mut(Arc::make_mut(&mut self.chunks).entry(chunk).or_default())
    }

    fn page_mut(&mut self, index: usize) -> &mut Page {
        let pages = self.chunk_mut(index / CHUNK_PAGES);
        let within = index % CHUNK_PAGES;
        if pages.len() <= within {
            pages.resize(within + 1, None);
        }
        let page = Arc::make_mut(pages[within].get_or_insert_default());
        page.hash.take();
        page
    }

    /// Forgets the pages from this one on.
    fn truncate(&mut self, kept: usize) {
        let (chunk, within) = (kept / CHUNK_PAGES, kept % CHUNK_PAGES);
        let Some((last, pages)) = self.chunks.last_key_value() else {
            return;
        };
        if last * CHUNK_PAGES + pages.len() <= kept {
            return;
        }
        drop(Arc::make_mut(&mut self.chunks).split_off(&(chunk + 1)));
        if self.chunks.contains_key(&chunk) {
            self.chunk_mut(chunk).truncate(within);
        }
    }

    /// Writes at `offset` and grows the file if it ends before.
    pub(crate) fn write_at(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = split(offset + done as u64);
            let len = (PAGE_BYTES - at).min(bytes.len() - done);
            let piece = &bytes[done..done + len];
            // Zeros over nothing are nothing.
            if self.page(page).is_some() || piece.iter().any(|byte| *byte != 0) {
                let page = self.page_mut(page);
                page.bytes[at..at + len].copy_from_slice(piece);
                let touched = at / SECTOR_BYTES..(at + len).div_ceil(SECTOR_BYTES);
                touched.for_each(|sector| page.garbage &= !(1 << sector));
            }
            done += len;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Puts a whole sector in place, the file's length left as it is.
    pub(crate) fn put_sector(&mut self, sector: u64, bytes: &[u8], garbage: bool) {
        let (page, at) = split(sector * SECTOR_BYTES as u64);
        if self.page(page).is_none() && !garbage && bytes.iter().all(|byte| *byte == 0) {
            return;
        }
        let page = self.page_mut(page);
        page.bytes[at..at + SECTOR_BYTES].copy_from_slice(bytes);
        let bit = 1 << (at / SECTOR_BYTES);
        page.garbage = if garbage {
            page.garbage | bit
        } else {
            page.garbage & !bit
        };
    }

    /// Cuts the file or grows it with zeros.
    pub(crate) fn set_len(&mut self, len: u64) {
        self.len = len;
        let (last, at) = split(len);
        let kept = if at == 0 { last } else { last + 1 };
        self.truncate(kept);
        let has_tail = |page: &Page| page.bytes[at..].iter().any(|byte| *byte != 0);
        if at > 0 && self.page(last).is_some_and(has_tail) {
            let page = self.page_mut(last);
            page.bytes[at..].fill(0);
            // Sectors that are cut off whole hold zeros from now on.
            let kept = at.div_ceil(SECTOR_BYTES);
            page.garbage &= u8::MAX >> (SECTORS_PER_PAGE - kept);
        }
    }

    /// Whether a sector holds garbage.
    pub(crate) fn is_garbage(&self, sector: u64) -> bool {
        let (page, at) = split(sector * SECTOR_BYTES as u64);
        let page = self.page(page);
        page.is_some_and(|page| page.garbage & 1 << (at / SECTOR_BYTES) != 0)
    }

    /// Whether two contents are the same, or differ in garbage alone.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|content| {
            let mut hasher = XxHash3_64::new();
            content.fingerprint(&mut hasher);
            hasher.finish()
        });
        one == other
    }

    /// Tells contents apart; those that differ in garbage alone are the same.
    pub(crate) fn fingerprint(&self, hasher: &mut XxHash3_64) {
        hasher.write_u64(self.len);
        // A page of zeros is as good as none.
        for (index, page) in self.pages().filter(|(_, page)| !page.is_zero()) {
            hasher.write_usize(index);
            hasher.write_u64(page.hash());
        }
    }
}

impl Page {
    fn is_zero(&self) -> bool {
        self.garbage == 0 && self.bytes.iter().all(|byte| *byte == 0)
    }
}

/// Page number and place in it.
fn split(offset: u64) -> (usize, usize) {
    let page = usize::try_from(offset / PAGE_BYTES as u64).expect("a file in memory");
    let at = usize::try_from(offset % PAGE_BYTES as u64).expect("less than a page");
    (page, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(content: &Content) -> u64 {
        let mut hasher = XxHash3_64::new();
        content.fingerprint(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut content = Content::default();
        content.write_at(&[7; 5000], 100);
        content.set_len(4200);
        content.set_len(9000);
        let bytes = content.bytes();
        assert!(bytes[..100].iter().all(|byte| *byte == 0));
        assert!(bytes[100..4200].iter().all(|byte| *byte == 7));
        assert!(bytes[4200..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_hole_is_zeros_and_no_pages() {
        let mut content = Content::default();
        content.write_at(&[7; 3 * PAGE_BYTES], 0);
        content.punch_hole(100..2 * PAGE_BYTES as u64 + 100);
        let bytes = content.bytes();
        for (range, byte) in [(0..100, 7), (100..8292, 0), (8292..12_288, 7)] {
            assert!(bytes[range].iter().all(|found| *found == byte));
        }
        let pieces: Vec<_> = content
            .pieces()
            .into_iter()
            .map(|(at, piece)| (at, piece.len()))
            .collect();
        assert_eq!(
            pieces,
            [(0, PAGE_BYTES), (2 * PAGE_BYTES as u64, PAGE_BYTES)]
        );
        // Behind the end there is nothing to be punched.
        content.punch_hole(12_288 - 1..1 << 40);
        assert_eq!(content.len(), 12_288);
    }

    #[test]
    fn a_file_costs_what_was_written_to_it() {
        let far = 1 << 50;
        let mut content = Content::default();
        content.write_at(&[7; 10], 0);
        content.write_at(&[8; 5000], far);
        let at = |content: &Content| -> Vec<u64> {
            let pieces = content.pieces();
            pieces.into_iter().map(|(offset, _)| offset).collect()
        };
        assert_eq!(at(&content), [0, far]);
        let mut found = [0; 2];
        assert_eq!(content.read_at(&mut found, far + 4999), 1);
        assert_eq!(found, [8, 0]);
        for (len, pieces) in [(far + 4096, vec![0, far]), (far, vec![0]), (5000, vec![0])] {
            content.set_len(len);
            assert_eq!(at(&content), pieces, "{len}");
        }
        // A cut in the middle of a chunk, and one at its start.
        let chunk = (CHUNK_PAGES * PAGE_BYTES) as u64;
        let mut content = Content::default();
        content.write_at(&vec![9; 3 * CHUNK_PAGES * PAGE_BYTES], 0);
        for len in [2 * chunk + 5000, 2 * chunk, chunk + 1, 0] {
            content.set_len(len);
            content.set_len(3 * chunk);
            let held: usize = content.pieces().iter().map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(
                held as u64,
                len.next_multiple_of(PAGE_BYTES as u64),
                "{len}"
            );
        }
    }

    #[test]
    fn a_clone_is_not_disturbed_by_writes() {
        let mut content = Content::default();
        content.write_at(b"before", 0);
        let before = content.clone();
        content.write_at(b"after!", 0);
        assert_eq!(before.bytes(), b"before");
    }

    #[test]
    fn garbage_is_one_as_good_as_another() {
        let with = |byte, garbage| {
            let mut content = Content::default();
            content.write_at(&[1; 1024], 0);
            content.put_sector(1, &[byte; SECTOR_BYTES], garbage);
            fingerprint(&content)
        };
        assert_eq!(with(3, true), with(4, true));
        assert_ne!(with(3, false), with(4, false));
        assert_ne!(with(3, true), with(3, false));
    }

    #[test]
    fn garbage_that_was_cut_off_is_gone() {
        let mut content = Content::default();
        content.write_at(&[1; 2048], 0);
        let without = |mut content: Content| {
            content.set_len(1000);
            content.set_len(2048);
            fingerprint(&content)
        };
        let clean = without(content.clone());
        content.put_sector(2, &[3; SECTOR_BYTES], true);
        assert_eq!(without(content.clone()), clean);
        content.put_sector(1, &[3; SECTOR_BYTES], true);
        assert_ne!(without(content), clean);
    }

    #[test]
    fn zeros_that_were_written_are_zeros() {
        let mut written = Content::default();
        written.write_at(&[1; 5000], 0);
        written.write_at(&[0; 5000], 0);
        let mut grown = Content::default();
        grown.set_len(5000);
        assert_eq!(fingerprint(&written), fingerprint(&grown));
    }
}
