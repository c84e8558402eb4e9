//! A large log to be read, and what the machine takes for its bytes without a log.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use groupwal::format::{HEADER_BYTES, Header, Seed, decode};
use groupwal::{Entry, Insert, Options, Wal};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::workload::Document;

const READ_BYTES: usize = 1 << 20;

/// A closed log.
pub(crate) struct LogImage {
    pub(crate) dir: PathBuf,
    pub(crate) entries: usize,
    /// Its files, oldest first, and how much of each holds frames.
    segments: Vec<(File, usize)>,
    buffer: Vec<u8>,
}

impl LogImage {
    /// Writes `entries` documents, `group` of them in each group.
    pub(crate) async fn create(dir: &Path, entries: usize, group: usize) -> Self {
        let options = Options::default();
        let wal = Wal::open(dir, options).await.expect("the log opens");
        let documents: Vec<_> = (0..group).map(Document::new).collect();
        let inserts: Vec<_> = documents
            .iter()
            .map(|document| Insert {
                doc_ids: &document.doc_ids,
                user_ids: &document.user_ids,
                vectors: document.vector,
            })
            .collect();
        for _ in 0..entries / group {
            let appended = wal.append_batch(&inserts).await;
            appended.expect("the append succeeds");
        }
        wal.close().await.expect("the log closes");
        drop(wal);
        let mut image = Self {
            dir: dir.to_owned(),
            entries: entries / group * group,
            segments: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        let mut paths: Vec<_> = std::fs::read_dir(dir)
            .expect("the directory is there")
            .map(|entry| entry.expect("the directory can be read").path())
            .filter(|path| is_segment(path))
            .collect();
        paths.sort();
        for path in paths {
            let file = OpenOptions::new().read(true).open(&path);
            let file = file.expect("the segment is there");
            let bytes = std::fs::read(&path).expect("the segment can be read");
            let mut end = 0;
            let scanned = scan(&bytes, |_| {}, |frame_end| end = frame_end);
            // The last one may be ready in advance and empty.
            if scanned > 0 {
                image.segments.push((file, end));
            }
        }
        image
    }

    /// Bytes of all frames, padding included.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|(_, len)| *len).sum()
    }

    /// What the files hold.
    pub(crate) fn load(&self) -> Vec<Vec<u8>> {
        let load = |(file, len): &(File, usize)| {
            let mut bytes = vec![0; *len];
            file.read_exact_at(&mut bytes, 0).expect("it can be read");
            bytes
        };
        self.segments.iter().map(load).collect()
    }

    /// Reads the frames from front to back, one large read after another, and looks at nothing.
    pub(crate) fn read(&mut self) {
        for (file, len) in &self.segments {
            let mut offset = 0;
            while offset < *len {
                let wanted = READ_BYTES.min(len - offset);
                let read = file.read_exact_at(&mut self.buffer[..wanted], offset as u64);
                read.expect("it can be read");
                black_box(&self.buffer);
                offset += wanted;
            }
        }
    }

    /// Has the kernel forget the files' pages, so that the next read goes to the disk.
    pub(crate) fn chill(&self) {
        for (file, _) in &self.segments {
            file.sync_all().expect("it can be synced");
            posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
                .expect("the kernel takes the advice");
        }
    }
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit()))
}

/// What a reader cannot do without: each checksum once, and each entry decoded once. Returns the number
/// of entries.
pub(crate) fn scan_all(segments: &[Vec<u8>]) -> usize {
    let touch = |entry: Entry<'_>| {
        black_box(entry);
    };
    segments
        .iter()
        .map(|bytes| scan(bytes, touch, |_| {}))
        .sum()
}

fn scan(bytes: &[u8], mut show: impl FnMut(Entry<'_>), mut frame: impl FnMut(usize)) -> usize {
    let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a header"));
    let block = u32::from_le_bytes(*bytes[12..].first_chunk().expect("a header")) as usize;
    let log_id = *bytes[24..].first_chunk().expect("a header");
    let salt = u64_at(48);
    let mut offset = block;
    let mut entries = 0;
    while let Some((header, checksum)) = bytes
        .get(offset..)
        .and_then(|rest| Header::decode(Seed::new(log_id, salt, offset as u64), rest))
    {
        let seed = Seed::new(log_id, salt, offset as u64);
        let payload = offset + HEADER_BYTES..offset + HEADER_BYTES + header.payload_len as usize;
        let mut rest = &bytes[payload];
        assert_eq!(seed.checksum(rest), checksum, "the log is not damaged");
        while !rest.is_empty() {
            let (entry, behind) = decode(rest).expect("a checked frame holds entries");
            show(entry);
            entries += 1;
            rest = behind;
        }
        offset += usize::try_from(header.frame_bytes()).expect("a small frame");
        offset = offset.next_multiple_of(block);
        frame(offset);
    }
    entries
}
