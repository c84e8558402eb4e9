//! What the disk itself takes: write and sync on one thread, without Tokio or a log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::workload::{Document, FLOATS, TASKS, now};

pub(crate) const BLOCK_BYTES: usize = 4096;
const PREWRITTEN_BYTES: usize = 64 << 20;
/// Kind, length and body of an entry in a frame.
pub(crate) const ENTRY_BYTES: usize = 1 + 4 + 8 + 8 + 16 + 16 + 4 * FLOATS + 1;
/// A frame's header. Its checksums are left out, which are not measurable here.
const HEADER_BYTES: usize = 64;

/// The bytes that a log writes for this document, apart from the frame around it.
pub(crate) fn encode(document: &Document, out: &mut [u8]) {
    out[0] = 1;
    out[1..5].copy_from_slice(&(ENTRY_BYTES as u64 - 5).to_le_bytes()[..4]);
    out[5..13].copy_from_slice(&1_u64.to_le_bytes());
    out[13..21].copy_from_slice(&1_u64.to_le_bytes());
    out[21..37].copy_from_slice(&document.doc_ids[0].to_le_bytes());
    out[37..53].copy_from_slice(&document.user_ids[0].to_le_bytes());
    let (floats, _) = out[53..ENTRY_BYTES - 1].as_chunks_mut();
    for (chunk, float) in floats.iter_mut().zip(document.vector) {
        *chunk = float.to_le_bytes();
    }
    out[ENTRY_BYTES - 1] = 0;
}

/// A file whose blocks have all been written, overwritten from front to back, over and over.
pub(crate) struct Prewritten {
    file: File,
    offset: usize,
    buffer: Vec<u8>,
}

impl Prewritten {
    pub(crate) fn create(dir: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true);
        let file = options.open(dir.join("prewritten"));
        let mut file = file.expect("the file can be created");
        let zeros = vec![0; 1 << 20];
        for _ in 0..PREWRITTEN_BYTES / zeros.len() {
            file.write_all(&zeros).expect("the disk has room");
        }
        file.sync_all().expect("the sync succeeds");
        Self {
            file,
            offset: 0,
            buffer: vec![0; (HEADER_BYTES + TASKS * ENTRY_BYTES).next_multiple_of(BLOCK_BYTES)],
        }
    }

    /// Encodes a thousand documents into one buffer, writes it with one call and syncs once: what
    /// no log with these guarantees can beat.
    pub(crate) fn burst(&mut self) -> Duration {
        self.group(TASKS)
    }

    /// Writes one block with one document and syncs it.
    pub(crate) fn lone(&mut self) -> Duration {
        self.group(1)
    }

    /// The same with so many documents, a thousand at most.
    pub(crate) fn group(&mut self, documents: usize) -> Duration {
        let begin = now();
        let entries = self.buffer[HEADER_BYTES..].chunks_exact_mut(ENTRY_BYTES);
        for (number, out) in entries.take(documents).enumerate() {
            encode(&Document::new(number), out);
        }
        self.write((HEADER_BYTES + documents * ENTRY_BYTES).next_multiple_of(BLOCK_BYTES));
        begin.elapsed()
    }

    fn write(&mut self, len: usize) {
        if self.offset + len > PREWRITTEN_BYTES {
            self.offset = 0;
        }
        let written = self
            .file
            .write_all_at(&self.buffer[..len], self.offset as u64);
        written.expect("the write succeeds");
        self.file.sync_data().expect("the sync succeeds");
        self.offset += len;
    }
}

/// A file that grows by one document at a time.
pub(crate) struct Growing {
    file: File,
    entry: [u8; ENTRY_BYTES],
}

impl Growing {
    pub(crate) fn create(dir: &Path) -> Self {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(dir.join("growing"));
        Self {
            file: file.expect("the file can be created"),
            entry: [0; ENTRY_BYTES],
        }
    }

    /// Appends one document and syncs it.
    pub(crate) fn lone(&mut self) -> Duration {
        let begin = now();
        encode(&Document::new(0), &mut self.entry);
        self.file
            .write_all(&self.entry)
            .expect("the write succeeds");
        self.file.sync_data().expect("the sync succeeds");
        begin.elapsed()
    }
}
