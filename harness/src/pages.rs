//! Bytes in memory by pages, shared by all clones in which they are the same: what a disk or a file
//! holds.
//!
//! A page of zeros costs nothing, and equal contents are equal: no page stands for "nothing was ever
//! written here", so a sparse terabyte costs what its data costs. A clone copies one pointer for
//! 256 KiB of data; a write to a clone copies the page that it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The unit in which memory is shared.
pub const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// Pages that are shared together.
pub(crate) const CHUNK_PAGES: usize = 64;
const CHUNK: u64 = PAGE * CHUNK_PAGES as u64;

/// Positions are 64 bits wide, and so is memory here: the package is built for such machines alone.
pub(crate) fn index(position: u64) -> usize {
    usize::try_from(position).expect("64-bit addresses")
}

/// A page that is not all zeros.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Known once it was asked for: most pages written while a state is examined never are.
    hash: OnceLock<u64>,
}

impl Page {
    /// The page with these bytes; nothing if they are zeros.
    pub(crate) fn shared(bytes: &[u8]) -> Option<Arc<Self>> {
        if is_zero(bytes) {
            return None;
        }
        let bytes: Box<[u8; PAGE_BYTES]> = bytes.to_vec().try_into().expect("a whole page");
        Some(Arc::new(Self {
            bytes,
            hash: OnceLock::new(),
        }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }

    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            // The same in every process: the hasher has fixed keys.
            let mut hasher = DefaultHasher::new();
            self.bytes.hash(&mut hasher);
            hasher.finish()
        })
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// 64 pages.
#[derive(Clone, Debug)]
struct Chunk {
    pages: [Option<Arc<Page>>; CHUNK_PAGES],
    /// Known once it was asked for, forgotten when a page changes.
    hash: OnceLock<u64>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            pages: [const { None }; CHUNK_PAGES],
            hash: OnceLock::new(),
        }
    }
}

impl Chunk {
    /// Equal for equal pages in the same places, whatever is shared.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let pages = self.pages.iter().zip(0..);
            pages.fold(0, |sum, (page, at)| {
                let hash = page.as_ref().map_or(0, |page| placed(page.hash(), at));
                sum.wrapping_add(hash)
            })
        })
    }
}

/// What a hash adds to the whole at its place. Nothing adds nothing.
fn placed(hash: u64, at: u64) -> u64 {
    if hash == 0 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (hash, at).hash(&mut hasher);
    hasher.finish()
}

/// A number of bytes, most of them perhaps zeros. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    len: u64,
    /// By their numbers. A chunk that is missing is zeros.
    chunks: BTreeMap<u64, Arc<Chunk>>,
}

impl Pages {
    pub(crate) fn zeros(len: u64) -> Self {
        Self {
            len,
            chunks: BTreeMap::new(),
        }
    }

    /// In bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Cuts, or adds zeros.
    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.zero(len, self.len - len);
            self.chunks.split_off(&len.div_ceil(CHUNK));
        }
        self.len = len;
    }

    fn page(&self, number: u64) -> Option<&Arc<Page>> {
        let chunk = self.chunks.get(&(number / CHUNK_PAGES as u64))?;
        chunk.pages[index(number) % CHUNK_PAGES].as_ref()
    }

    /// The bytes of a page; nothing if they are zeros.
    pub(crate) fn page_bytes(&self, number: u64) -> Option<&[u8]> {
        self.page(number).map(|page| page.bytes())
    }

    pub(crate) fn set_page(&mut self, number: u64, page: Option<Arc<Page>>) {
        let chunk = number / CHUNK_PAGES as u64;
        if page.is_none() && !self.chunks.contains_key(&chunk) {
            return;
        }
        let chunk = Arc::make_mut(self.chunks.entry(chunk).or_default());
        chunk.pages[index(number) % CHUNK_PAGES] = page;
        chunk.hash = OnceLock::new();
    }

    /// Reads; what lies beyond the end is zeros.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        for (number, from, range) in pages_of(offset, into.len()) {
            let part = &mut into[range];
            match self.page(number) {
                Some(page) => part.copy_from_slice(&page.bytes()[from..from + part.len()]),
                None => part.fill(0),
            }
        }
    }

    /// Writes. What is the same already keeps its memory.
    ///
    /// # Panics
    /// If the write does not end within the bytes.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.len, "beyond the end");
        for (number, from, range) in pages_of(offset, bytes.len()) {
            self.write_in_page(number, from, &bytes[range]);
        }
    }

    /// Writes within a page.
    pub(crate) fn write_in_page(&mut self, number: u64, from: usize, bytes: &[u8]) {
        match self.page(number) {
            Some(page) if page.bytes()[from..from + bytes.len()] == *bytes => return,
            None if is_zero(bytes) => return,
            _ => {}
        }
        if bytes.len() == PAGE_BYTES {
            self.set_page(number, Page::shared(bytes));
            return;
        }
        let mut page = [0; PAGE_BYTES];
        self.read(number * PAGE, &mut page);
        page[from..from + bytes.len()].copy_from_slice(bytes);
        self.set_page(number, Page::shared(&page));
    }

    /// Takes over a range of another one. Whole pages share their memory.
    pub(crate) fn copy(&mut self, from: &Self, range: Range<u64>) {
        self.len = self.len.max(range.end);
        for (number, start, part) in pages_of(range.start, index(range.end - range.start)) {
            if part.len() == PAGE_BYTES {
                self.set_page(number, from.page(number).cloned());
            } else {
                let end = start + part.len();
                let bytes = from.page(number).map(|page| &page.bytes()[start..end]);
                self.write_in_page(
                    number,
                    start,
                    bytes.unwrap_or(&[0; PAGE_BYTES][..end - start]),
                );
            }
        }
    }

    /// Makes a range zeros.
    pub(crate) fn zero(&mut self, offset: u64, bytes: u64) {
        let end = offset.saturating_add(bytes).min(self.len);
        if offset >= end {
            return;
        }
        let touched = self.chunks.range(offset / CHUNK..end.div_ceil(CHUNK));
        let touched: Vec<u64> = touched.map(|(number, _)| *number).collect();
        for number in touched {
            let chunk = number * CHUNK..(number + 1) * CHUNK;
            // The last chunk is whole where the bytes end.
            let chunk_end = chunk.end.min(self.len);
            if offset <= chunk.start && chunk_end <= end {
                self.chunks.remove(&number);
                continue;
            }
            let (from, to) = (offset.max(chunk.start), end.min(chunk_end));
            for (page, start, part) in pages_of(from, index(to - from)) {
                if part.len() == PAGE_BYTES {
                    self.set_page(page, None);
                } else {
                    self.write_in_page(page, start, &[0; PAGE_BYTES][..part.len()]);
                }
            }
        }
    }

    /// Tells contents apart. Costs only what changed since it was last asked of an ancestor.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.chunks.iter().fold(self.len, |sum, (at, chunk)| {
            sum.wrapping_add(placed(chunk.hash(), *at))
        })
    }

    /// The pages that are not zeros, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.iter().flat_map(|(chunk, content)| {
            let first = chunk * CHUNK_PAGES as u64;
            let pages = content.pages.iter().zip(first..);
            pages.filter_map(|(page, number)| Some((number, page.as_ref()?.bytes())))
        })
    }

    /// The numbers of the pages in which two of one length differ, in order.
    pub(crate) fn difference(&self, other: &Self) -> Vec<u64> {
        let chunks: BTreeSet<u64> = self
            .chunks
            .keys()
            .chain(other.chunks.keys())
            .copied()
            .collect();
        let differs = |chunk: &u64| match (self.chunks.get(chunk), other.chunks.get(chunk)) {
            (Some(one), Some(two)) => !Arc::ptr_eq(one, two),
            _ => true,
        };
        let pages = chunks.into_iter().filter(differs).flat_map(|chunk| {
            let first = chunk * CHUNK_PAGES as u64;
            first..first + CHUNK_PAGES as u64
        });
        pages
            .filter(|number| !self.same_page(other, *number))
            .collect()
    }

    fn same_page(&self, other: &Self, number: u64) -> bool {
        match (self.page(number), other.page(number)) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one.bytes == two.bytes,
            _ => false,
        }
    }
}

impl PartialEq for Pages {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.difference(other).is_empty()
    }
}

impl Eq for Pages {}

/// The pages that a range touches: number, where in the page, which part of the range.
pub(crate) fn pages_of(
    offset: u64,
    bytes: usize,
) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let at = offset + done as u64;
        let from = index(at % PAGE);
        let part = (PAGE_BYTES - from).min(bytes - done);
        done += part;
        Some((at / PAGE, from, done - part..done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_are_equal_whatever_was_written_on_the_way() {
        let empty = Pages::zeros(1 << 20);
        let mut written = empty.clone();
        written.write(1000, &[7; 9000]);
        let mut other = empty.clone();
        other.write(0, &vec![9; 100_000]);
        other.zero(0, 100_000);
        assert_eq!(other, empty);
        assert_eq!(other.fingerprint(), empty.fingerprint());
        other.write(1000, &[7; 4000]);
        assert_eq!(other.difference(&written), [1, 2]);
        assert_ne!(other.fingerprint(), written.fingerprint());
        other.write(5000, &[7; 5000]);
        assert_eq!(other, written);
        assert_eq!(other.fingerprint(), written.fingerprint());
        let mut bytes = [1; 10];
        written.read(9995, &mut bytes);
        assert_eq!(bytes, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]);
        let numbers: Vec<u64> = written.pages().map(|page| page.0).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn a_range_made_zeros_leaves_what_is_around_it() {
        let mut pages = Pages::zeros(1 << 20);
        pages.write(0, &vec![5; 1 << 20]);
        pages.zero(4000, 700_000);
        let mut bytes = vec![0; 1 << 20];
        pages.read(0, &mut bytes);
        assert!(bytes[..4000].iter().all(|byte| *byte == 5));
        assert!(bytes[4000..704_000].iter().all(|byte| *byte == 0));
        assert!(bytes[704_000..].iter().all(|byte| *byte == 5));
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut pages = Pages::zeros(3 << 20);
        pages.write(0, &vec![5; 3 << 20]);
        for len in [(2 << 20) + 1, 1 << 20, 5000, 4096, 1, 0] {
            pages.set_len(len);
            let mut grown = pages.clone();
            grown.set_len(3 << 20);
            let mut expected = Pages::zeros(3 << 20);
            expected.write(0, &vec![5; index(len)]);
            assert_eq!(grown, expected, "cut to {len}");
        }
        assert!(pages.chunks.is_empty());
    }

    #[test]
    fn a_range_of_another_is_taken_over_and_shares_its_pages() {
        let mut new = Pages::zeros(20_000);
        new.write(0, &vec![2; 20_000]);
        let mut old = Pages::zeros(6000);
        old.write(0, &[1; 6000]);
        old.copy(&new, 3000..13_000);
        assert_eq!(old.len(), 13_000);
        let mut bytes = vec![0; 13_000];
        old.read(0, &mut bytes);
        assert!(bytes[..3000].iter().all(|byte| *byte == 1));
        assert!(bytes[3000..].iter().all(|byte| *byte == 2));
        let [mine, theirs] = [&old, &new].map(|pages| pages.page(1).expect("not zeros"));
        assert!(Arc::ptr_eq(mine, theirs));
    }

    #[test]
    fn a_terabyte_of_zeros_costs_nothing() {
        let mut sparse = Pages::zeros(1 << 40);
        sparse.write((1 << 40) - 5, b"there");
        assert_eq!(sparse.chunks.len(), 1);
        let mut shorter = sparse.clone();
        shorter.zero(0, 1 << 40);
        assert_eq!(shorter, Pages::zeros(1 << 40));
        assert_ne!(shorter.fingerprint(), sparse.fingerprint());
    }
}
