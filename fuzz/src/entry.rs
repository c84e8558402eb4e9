//! Arbitrary bytes as entries: whatever decodes encodes to the same bytes again.

use groupwal::Entry;
use groupwal::format::{HEADER_BYTES, decode};

use crate::support::image::frames;
use crate::support::mem::MemStorage;
use crate::support::tiny::{open, ready};

pub fn run(data: &[u8]) {
    let mut rest = data;
    let mut decoded: Vec<Entry<'_>> = Vec::new();
    while let Ok((entry, behind)) = decode(rest) {
        decoded.push(entry);
        rest = behind;
    }
    let bytes = &data[..data.len() - rest.len()];
    // What the log writes for a batch of them is what they were decoded from.
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    if ready(wal.append_batch(&decoded)).is_ok() {
        let image = storage.snapshot();
        let frame = &frames(&image)[0];
        assert_eq!(&image[&frame.file][frame.range()][HEADER_BYTES..], bytes);
    } else {
        assert!(decoded.is_empty() || bytes.len() > 1024);
    }
}
