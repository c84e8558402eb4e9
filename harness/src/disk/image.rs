//! What a disk holds: pages in memory, shared by all images in which they are the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::error::at_path;
use crate::pages::{Page, Pages};

pub use crate::pages::PAGE_BYTES;
pub(super) use crate::pages::{CHUNK_PAGES, index, pages_of};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// A disk's content. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Pages);

impl Image {
    /// A disk of zeros. Its size is rounded up to whole pages.
    pub fn zeros(bytes: u64) -> Self {
        Self(Pages::zeros(bytes.next_multiple_of(PAGE_BYTES as u64)))
    }

    /// How large the disk is.
    pub fn bytes(&self) -> u64 {
        self.0.len()
    }

    /// The bytes of a page; nothing if they are zeros.
    pub fn page_bytes(&self, number: u64) -> Option<&[u8]> {
        self.0.page_bytes(number)
    }

    pub(super) fn set_page(&mut self, number: u64, page: Option<Arc<Page>>) {
        self.0.set_page(number, page);
    }

    /// Reads; what lies beyond the end is zeros.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        self.0.read(offset, into);
    }

    /// Writes.
    ///
    /// # Panics
    /// If the write does not end within the disk.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.0.write(offset, bytes);
    }

    /// Writes within a page.
    pub(super) fn write_in_page(&mut self, number: u64, from: usize, bytes: &[u8]) {
        self.0.write_in_page(number, from, bytes);
    }

    /// Makes a range zeros.
    pub fn zero(&mut self, offset: u64, bytes: u64) {
        self.0.zero(offset, bytes);
    }

    /// Tells contents apart. Costs only what changed since it was last asked of an ancestor.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }

    /// The pages that are not zeros, in order.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.pages()
    }

    /// The numbers of the pages in which two images of one size differ, in order.
    pub fn difference(&self, other: &Self) -> Vec<u64> {
        self.0.difference(&other.0)
    }

    /// Writes the image to a new sparse file, which `mount -o loop` takes.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let failed = at_path("write the disk image", path);
        let file = File::create_new(path).map_err(&failed)?;
        file.set_len(self.bytes()).map_err(&failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
