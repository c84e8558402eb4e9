//! Entries as lines of text.

use groupwal::{Documents, Entry, Op};

/// A number's hexadecimal digits, all eight of them: each nibble is spread into a byte of its own,
/// and all bytes become digits at once.
fn hex(number: u32) -> [u8; 8] {
    let spread = u64::from(number);
    let spread = (spread & 0xffff_0000) << 16 | spread & 0xffff;
    let spread = (spread & 0x0000_ff00_0000_ff00) << 8 | spread & 0x0000_00ff_0000_00ff;
    let spread = (spread & 0x00f0_00f0_00f0_00f0) << 4 | spread & 0x000f_000f_000f_000f;
    let above_nine = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let digits = spread + 0x3030_3030_3030_3030 + above_nine * u64::from(b'a' - b'0' - 10);
    digits.to_be_bytes()
}

/// A float's bit pattern.
pub(crate) fn hex_float(float: f32) -> [u8; 8] {
    hex(float.to_bits())
}

/// An id's 32 digits.
pub(crate) fn hex_id(id: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    let words = id.to_be_bytes();
    for (out, word) in digits.as_chunks_mut().0.iter_mut().zip(words.as_chunks().0) {
        *out = hex(u32::from_be_bytes(*word));
    }
    digits
}

/// Appends two digits a byte.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks();
    out.reserve(2 * bytes.len());
    for word in words {
        out.extend_from_slice(&hex(u32::from_be_bytes(*word)));
    }
    for byte in rest {
        out.extend_from_slice(&hex(u32::from(*byte))[6..]);
    }
}

/// Appends one line.
pub(crate) fn push_entry(out: &mut Vec<u8>, seq: u64, entry: &Entry<'_>) {
    push_number(out, seq);
    match entry {
        Entry::Documents(documents) => push_documents(out, documents),
        Entry::Bytes(bytes) => {
            out.extend_from_slice(b" bytes ");
            push_hex(out, bytes);
        }
    }
    out.push(b'\n');
}

/// Appends the line of entries that an earlier salvage could not bring back.
pub(crate) fn push_lost(out: &mut Vec<u8>, seq: u64, entries: u64) {
    push_number(out, seq);
    out.extend_from_slice(b" lost entries=");
    push_number(out, entries);
    out.push(b'\n');
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

fn push_documents(out: &mut Vec<u8>, documents: &Documents<'_>) {
    let kind: &[u8] = match documents.op() {
        Op::Insert => b" insert docs=",
        Op::Delete => b" delete docs=",
    };
    out.extend_from_slice(kind);
    push_list(out, documents.doc_ids().map(hex_id));
    out.extend_from_slice(b" users=");
    push_list(out, documents.user_ids().map(hex_id));
    if documents.op() == Op::Insert {
        out.extend_from_slice(b" vectors=");
        push_list(out, documents.vectors().map(hex_float));
    }
}

/// Appends items of one length with commas between them.
fn push_list<const N: usize>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = [u8; N]>) {
    let stride = N + 1;
    let start = out.len();
    out.resize(start + items.len() * stride, b',');
    for (place, item) in out[start..].chunks_exact_mut(stride).zip(items) {
        place[..N].copy_from_slice(&item);
    }
    // The last comma stands before nothing.
    if out.len() > start {
        out.pop();
    }
}
