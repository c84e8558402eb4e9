//! What a disk holds: pages in memory, shared by all images in which they are the same.
//!
//! A page of zeros costs nothing, and equal contents are equal images: no page stands for "nothing
//! was ever written here". A clone copies one pointer for 256 KiB; a write to a clone copies the
//! page that it changes.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::error::at_path;

/// The unit in which images share memory.
pub const PAGE_BYTES: usize = 4096;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Pages that are shared together.
pub(super) const CHUNK_PAGES: usize = 64;

/// Positions on a disk are 64 bits wide, and so is memory here: the module is built for such
/// machines alone.
pub(super) fn index(position: u64) -> usize {
    usize::try_from(position).expect("64-bit addresses")
}

/// A page that is not all zeros.
#[derive(Clone, Debug)]
pub(super) struct Page {
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Known once it was asked for: most pages written while a state is examined never are.
    hash: OnceLock<u64>,
}

impl Page {
    /// The page with these bytes; nothing if they are zeros.
    pub(super) fn shared(bytes: &[u8]) -> Option<Arc<Self>> {
        let bytes: Box<[u8; PAGE_BYTES]> = bytes.to_vec().try_into().expect("a whole page");
        (!is_zero(&bytes[..])).then(|| {
            Arc::new(Self {
                bytes,
                hash: OnceLock::new(),
            })
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
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
            let pages = self.pages.iter().enumerate();
            pages.fold(0, |sum, (at, page)| {
                let hash = page.as_ref().map_or(0, |page| placed(page.hash(), at));
                sum.wrapping_add(hash)
            })
        })
    }
}

/// What a hash adds to the whole at its place. Nothing adds nothing.
fn placed(hash: u64, at: usize) -> u64 {
    if hash == 0 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (hash, at).hash(&mut hasher);
    hasher.finish()
}

/// A disk's content. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    bytes: u64,
    chunks: Vec<Option<Arc<Chunk>>>,
}

impl Image {
    /// A disk of zeros. Its size is rounded up to whole pages.
    pub fn zeros(bytes: u64) -> Self {
        let bytes = bytes.next_multiple_of(PAGE_BYTES as u64);
        let chunks = bytes.div_ceil((PAGE_BYTES * CHUNK_PAGES) as u64);
        Self {
            bytes,
            chunks: vec![None; index(chunks)],
        }
    }

    /// How large the disk is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn page(&self, number: u64) -> Option<&Arc<Page>> {
        let number = index(number);
        let chunk = self.chunks.get(number / CHUNK_PAGES)?.as_ref()?;
        chunk.pages[number % CHUNK_PAGES].as_ref()
    }

    /// The bytes of a page; nothing if they are zeros.
    pub fn page_bytes(&self, number: u64) -> Option<&[u8]> {
        self.page(number).map(|page| &page.bytes[..])
    }

    pub(super) fn set_page(&mut self, number: u64, page: Option<Arc<Page>>) {
        let number = index(number);
        let slot = &mut self.chunks[number / CHUNK_PAGES];
        if page.is_none() && slot.is_none() {
            return;
        }
        let chunk = Arc::make_mut(slot.get_or_insert_default());
        chunk.pages[number % CHUNK_PAGES] = page;
        chunk.hash = OnceLock::new();
    }

    /// Reads; what lies beyond the end is zeros.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        for (number, from, range) in pages_of(offset, into.len()) {
            let part = &mut into[range];
            match self.page(number) {
                Some(page) => part.copy_from_slice(&page.bytes[from..from + part.len()]),
                None => part.fill(0),
            }
        }
    }

    /// Writes.
    ///
    /// # Panics
    /// If the write does not end within the disk.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, from, range) in pages_of(offset, bytes.len()) {
            self.write_in_page(number, from, &bytes[range]);
        }
    }

    /// Writes within a page.
    pub(super) fn write_in_page(&mut self, number: u64, from: usize, bytes: &[u8]) {
        if bytes.len() == PAGE_BYTES {
            self.set_page(number, Page::shared(bytes));
            return;
        }
        let mut page = [0; PAGE_BYTES];
        self.read(number * PAGE_BYTES as u64, &mut page);
        page[from..from + bytes.len()].copy_from_slice(bytes);
        self.set_page(number, Page::shared(&page));
    }

    /// Makes a range zeros.
    pub fn zero(&mut self, offset: u64, bytes: u64) {
        let end = (offset + bytes).min(self.bytes);
        let mut at = offset;
        let chunk_bytes = (PAGE_BYTES * CHUNK_PAGES) as u64;
        while at < end {
            if at.is_multiple_of(chunk_bytes) && end - at >= chunk_bytes {
                self.chunks[index(at / chunk_bytes)] = None;
                at += chunk_bytes;
                continue;
            }
            let in_page = at % PAGE_BYTES as u64;
            let part = (PAGE_BYTES as u64 - in_page).min(end - at);
            let number = at / PAGE_BYTES as u64;
            if part == PAGE_BYTES as u64 {
                self.set_page(number, None);
            } else if self.page(number).is_some() {
                self.write_in_page(number, index(in_page), &vec![0; index(part)]);
            }
            at += part;
        }
    }

    /// Tells contents apart. Costs only what changed since it was last asked of an ancestor.
    pub fn fingerprint(&self) -> u64 {
        let chunks = self.chunks.iter().enumerate();
        chunks.fold(self.bytes, |sum, (at, chunk)| {
            let hash = chunk.as_ref().map_or(0, |chunk| placed(chunk.hash(), at));
            sum.wrapping_add(hash)
        })
    }

    /// The pages that are not zeros, in order.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let chunks = self.chunks.iter().enumerate();
        chunks.flat_map(|(chunk_number, chunk)| {
            let pages = chunk
                .iter()
                .flat_map(|chunk| chunk.pages.iter().enumerate());
            pages.filter_map(move |(at, page)| {
                let number = (chunk_number * CHUNK_PAGES + at) as u64;
                Some((number, &page.as_ref()?.bytes[..]))
            })
        })
    }

    /// The numbers of the pages in which two images of one size differ, in order.
    pub fn difference(&self, other: &Self) -> Vec<u64> {
        let mut found = Vec::new();
        for (chunk_number, (one, two)) in self.chunks.iter().zip(&other.chunks).enumerate() {
            let same = match (one, two) {
                (None, None) => true,
                (Some(one), Some(two)) => Arc::ptr_eq(one, two),
                _ => false,
            };
            if same {
                continue;
            }
            let numbers = (0..CHUNK_PAGES).map(|at| (chunk_number * CHUNK_PAGES + at) as u64);
            found.extend(numbers.filter(|number| !self.same_page(other, *number)));
        }
        found
    }

    fn same_page(&self, other: &Self, number: u64) -> bool {
        match (self.page(number), other.page(number)) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one.bytes == two.bytes,
            _ => false,
        }
    }

    /// Writes the image to a new sparse file, which `mount -o loop` takes.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let failed = at_path("write the disk image", path);
        let file = File::create_new(path).map_err(&failed)?;
        file.set_len(self.bytes).map_err(&failed)?;
        self.pages().try_for_each(|(number, bytes)| {
            file.write_all_at(bytes, number * PAGE_BYTES as u64)
                .map_err(&failed)
        })
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load(path: &Path) -> io::Result<Self> {
        let failed = at_path("read the disk image", path);
        let file = File::open(path).map_err(&failed)?;
        let mut image = Self::zeros(file.metadata().map_err(&failed)?.len());
        let mut buffer = vec![0; PAGE_BYTES * CHUNK_PAGES];
        let mut at = 0;
        loop {
            let read = file.read_at(&mut buffer, at).map_err(&failed)?;
            if read == 0 {
                return Ok(image);
            }
            image.write(at, &buffer[..read]);
            at += read as u64;
        }
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.difference(other).is_empty()
    }
}

impl Eq for Image {}

/// The pages that a range touches: number, where in the page, which part of the range.
pub(super) fn pages_of(
    offset: u64,
    bytes: usize,
) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let at = offset + done as u64;
        let from = index(at % PAGE_BYTES as u64);
        let part = (PAGE_BYTES - from).min(bytes - done);
        done += part;
        Some((at / PAGE_BYTES as u64, from, done - part..done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_are_equal_whatever_was_written_on_the_way() {
        let empty = Image::zeros(1 << 20);
        let mut image = empty.clone();
        image.write(1000, &[7; 9000]);
        let mut other = empty.clone();
        other.write(0, &vec![9; 100_000]);
        other.zero(0, 100_000);
        assert_eq!(other, empty);
        assert_eq!(other.fingerprint(), empty.fingerprint());
        other.write(1000, &[7; 4000]);
        assert_eq!(other.difference(&image), [1, 2]);
        assert_ne!(other.fingerprint(), image.fingerprint());
        other.write(5000, &[7; 5000]);
        assert_eq!(other, image);
        assert_eq!(other.fingerprint(), image.fingerprint());
        let mut bytes = [1; 10];
        image.read(9995, &mut bytes);
        assert_eq!(bytes, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]);
        assert_eq!(
            image.pages().map(|page| page.0).collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }

    #[test]
    fn a_range_made_zeros_leaves_what_is_around_it() {
        let mut image = Image::zeros(1 << 20);
        image.write(0, &vec![5; 1 << 20]);
        image.zero(4000, 700_000);
        let mut bytes = vec![0; 1 << 20];
        image.read(0, &mut bytes);
        assert!(bytes[..4000].iter().all(|byte| *byte == 5));
        assert!(bytes[4000..704_000].iter().all(|byte| *byte == 0));
        assert!(bytes[704_000..].iter().all(|byte| *byte == 5));
    }

    #[test]
    fn a_saved_image_comes_back() {
        let tmp = tempfile::tempdir().expect("a directory");
        let mut image = Image::zeros(1 << 20);
        image.write(300_000, b"here");
        let path = tmp.path().join("image");
        image.save(&path).expect("saved");
        assert_eq!(Image::load(&path).expect("loaded"), image);
        let again = image.save(&path).expect_err("it exists");
        assert!(again.to_string().contains("image"), "{again}");
    }
}
