//! Segments longer than 4 GiB: positions in them take more than 32 bits.

#![cfg(target_pointer_width = "64")]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use groupwal::{EngineKind, FileIdentity, Options, Storage, StorageDir, StorageFile};
use support::tiny::{DIR, open_with, ready, replay_from};

const MIB: usize = 1 << 20;
/// What a file is made of: so few that a test binary without optimisation goes through them in a moment.
const PAGE: usize = 1 << 16;
static ZEROS: [u8; PAGE] = [0; PAGE];
const ENTRY: usize = 64 * MIB;

/// A directory whose files cost what is in them that is not zero.
#[derive(Clone, Default)]
struct Hollow(Arc<Mutex<BTreeMap<String, Arc<HollowFile>>>>);

#[derive(Default)]
struct HollowFile(Mutex<Content>);

#[derive(Default)]
struct Content {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Parts of a range that lie in a page each: the page, where the part begins in it, and its place in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = usize::try_from(at % PAGE as u64).unwrap();
        let part = done..len.min(done + PAGE - start);
        done = part.end;
        Some((at / PAGE as u64, start, part))
    })
}

impl StorageFile for HollowFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let left = content.len.saturating_sub(offset);
        let len = bytes.len().min(usize::try_from(left).unwrap());
        bytes[..len].fill(0);
        for (page, start, part) in parts(offset, len) {
            if let Some(page) = content.pages.get(&page) {
                let count = part.len();
                bytes[part].copy_from_slice(&page[start..start + count]);
            }
        }
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.0.lock().unwrap();
        for (page, start, part) in parts(offset, bytes.len()) {
            let part = &bytes[part];
            if content.pages.contains_key(&page) || *part != ZEROS[..part.len()] {
                let page = content.pages.entry(page).or_insert_with(|| vec![0; PAGE]);
                page[start..start + part.len()].copy_from_slice(part);
            }
        }
        content.len = content.len.max(offset + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        let inode = std::ptr::from_ref(self).addr() as u64;
        Ok(FileIdentity { device: 0, inode })
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) {}
}

impl Storage for Hollow {
    fn open_dir(&self, _: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(7);
        Ok(())
    }
}

impl Hollow {
    fn file(&self, name: &str) -> io::Result<Arc<HollowFile>> {
        let files = self.0.lock().unwrap();
        let file = files.get(name).cloned();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl StorageDir for Hollow {
    fn path(&self) -> &Path {
        Path::new(DIR)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = Arc::new(HollowFile::default());
        let mut files = self.0.lock().unwrap();
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let mut files = self.0.lock().unwrap();
        files.remove(from);
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.file(name)?.identity()
    }

    fn open_dir(&self, _: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// A position that is cut to 32 bits lands in the segment's first gigabytes, on entries that were acknowledged
/// long ago. Zeros cost nothing here, so that a segment of 4 GiB takes seconds.
#[test]
fn a_segment_has_entries_beyond_4_gib() {
    let storage = Hollow::default();
    let options = Options::default()
        .engine(EngineKind::Inline)
        .segment_bytes(4352 * MIB as u64)
        .entry_bytes_max(ENTRY)
        .group_bytes_max(ENTRY + 64)
        .spare_segments_max(0);
    let zeros = vec![0; ENTRY];
    let large = 4096 / 64;
    let wal = open_with(Arc::new(storage.clone()), options.clone()).unwrap();
    for seq in 0..large {
        assert_eq!(ready(wal.append(&zeros)).unwrap(), seq);
    }
    for seq in large..large + 3 {
        assert_eq!(ready(wal.append(&seq.to_le_bytes())).unwrap(), seq);
    }
    assert_eq!(wal.segment_count(), 1);
    drop(wal);
    let behind: Vec<(u64, Vec<u8>)> = (large..large + 3)
        .map(|seq| (seq, seq.to_le_bytes().to_vec()))
        .collect();

    // As after a kill: the end of the log is found, written again, and gone on from.
    let wal = open_with(Arc::new(storage), options).unwrap();
    let report = wal.recovery();
    assert_eq!((report.next_seq, report.segments), (large + 3, 1));
    assert_eq!(report.discarded, None);
    assert_eq!(replay_from(&wal, large).unwrap(), behind);
    assert_eq!(ready(wal.append(b"more")).unwrap(), large + 3);
}
