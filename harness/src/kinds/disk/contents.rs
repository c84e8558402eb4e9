//! Which file a block that was written belongs to, told by its bytes: a page of a file of the store that is
//! like no other page of it.

use std::collections::HashMap;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::disk::{Examiner, Image, PAGE_BYTES, Request, is_mount_refused};
use crate::recorder::STORE;
use crate::tree::{Kind, walk};

const PAGE: u64 = PAGE_BYTES as u64;
/// Pages that are looked at: of a larger store, the files that come first.
const PAGES_MAX: usize = 1 << 16;
/// Ranges of files told of one request.
const RANGES_TOLD: usize = 3;

/// Where in a file a page is; nothing if its bytes are those of another one, too.
type Place = Option<(Arc<Path>, u64)>;

/// The pages of a store's files by their bytes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    places: HashMap<u64, Place>,
    /// The size of the device.
    device_bytes: u64,
}

impl Contents {
    /// Reads the store on these images. One that the kernel does not mount says nothing.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn read(examiner: &mut Examiner, images: &[&Image]) -> io::Result<Self> {
        let mut contents = Self::default();
        for image in images {
            contents.device_bytes = image.bytes();
            let mounted = examiner.with_mounted(image, |dir| contents.add_all(&dir.join(STORE)));
            match mounted {
                Ok(read) => read?,
                Err(error) if is_mount_refused(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    fn add_all(&mut self, dir: &Path) -> io::Result<()> {
        walk(dir, &mut |found| {
            if found.kind != Kind::File {
                return Ok(());
            }
            let name: Arc<Path> = found.name.into();
            let mut file = found.open()?.file;
            let mut offset = 0;
            while self.places.len() < PAGES_MAX {
                let mut page = Vec::with_capacity(PAGE_BYTES);
                file.by_ref().take(PAGE).read_to_end(&mut page)?;
                if page.is_empty() {
                    break;
                }
                page.resize(PAGE_BYTES, 0);
                self.add(&name, offset, &page);
                offset += PAGE;
            }
            Ok(())
        })
        .map(drop)
    }

    fn add(&mut self, name: &Arc<Path>, offset: u64, page: &[u8]) {
        if page.iter().all(|byte| *byte == 0) {
            return;
        }
        let here = Some((Arc::clone(name), offset));
        let known = self.places.entry(XxHash3_64::oneshot(page));
        let known = known.or_insert_with(|| here.clone());
        if *known != here {
            *known = None;
        }
    }

    /// The files whose bytes a request writes: `log, bytes 0..8192`. Empty if it is not known.
    pub(super) fn named(&self, request: &Request) -> String {
        let Some((offset, bytes)) = request.range().filter(|_| !self.places.is_empty()) else {
            return String::new();
        };
        let mut written = Image::zeros(self.device_bytes);
        request.apply(&mut written);
        let mut ranges: Vec<(PathBuf, std::ops::Range<u64>)> = Vec::new();
        for number in offset / PAGE..(offset + bytes).div_ceil(PAGE) {
            let page = written.page_bytes(number).map(XxHash3_64::oneshot);
            let place = page.and_then(|page| self.places.get(&page)?.as_ref());
            let Some((name, start)) = place else {
                continue;
            };
            match ranges.last_mut() {
                Some((last, range)) if **last == **name && range.end == *start => {
                    range.end += PAGE;
                }
                _ => ranges.push((name.to_path_buf(), *start..start + PAGE)),
            }
        }
        let told = |(name, range): &(PathBuf, std::ops::Range<u64>)| {
            format!("{}, bytes {}..{}", name.display(), range.start, range.end)
        };
        let mut named: Vec<String> = ranges.iter().take(RANGES_TOLD).map(told).collect();
        if ranges.len() > RANGES_TOLD {
            named.push(format!("{} more ranges", ranges.len() - RANGES_TOLD));
        }
        named.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_told_by_its_file_unless_its_bytes_are_those_of_two_pages() {
        let mut contents = Contents {
            device_bytes: 16 * PAGE,
            ..Contents::default()
        };
        let page = |byte: u8| vec![byte; PAGE_BYTES];
        let [log, map]: [Arc<Path>; 2] = ["log", "map"].map(|name| Path::new(name).into());
        for (name, offset, byte) in [
            (&log, 0, 1),
            (&log, PAGE, 2),
            (&map, 0, 3),
            (&map, PAGE, 4),
            // The same page in a second image is no other page.
            (&log, 0, 1),
            (&log, 2 * PAGE, 4),
            (&log, 3 * PAGE, 0),
        ] {
            contents.add(name, offset, &page(byte));
        }
        let named = |bytes: &[u8]| {
            let written: Vec<u8> = bytes.iter().flat_map(|byte| page(*byte)).collect();
            contents.named(&Request::write(3 * PAGE, &written, false))
        };
        assert_eq!(named(&[1, 2]), "log, bytes 0..8192");
        assert_eq!(named(&[2, 3]), "log, bytes 4096..8192; map, bytes 0..4096");
        assert_eq!(named(&[9, 2, 9]), "log, bytes 4096..8192");
        for unknown in [4, 9, 0] {
            assert_eq!(named(&[unknown]), "");
        }
        assert_eq!(contents.named(&Request::flush()), "");
    }
}
