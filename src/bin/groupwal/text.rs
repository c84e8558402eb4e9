//! Entries as lines of text.

use std::io::Write;

use groupwal::{Documents, Entry, Op};

/// Writes lines, with memory that is kept from one to the next.
#[derive(Default)]
pub(crate) struct Lines {
    /// An entry's numbers, highest byte first, as their digits are written.
    bytes: Vec<u8>,
    digits: Vec<u8>,
}

impl Lines {
    /// Appends an entry's line.
    pub(crate) fn push_entry(&mut self, out: &mut Vec<u8>, seq: u64, entry: &Entry<'_>) {
        push_number(out, seq);
        match entry {
            Entry::Documents(documents) => self.push_documents(out, documents),
            Entry::Bytes(bytes) => {
                out.extend_from_slice(b" bytes ");
                push_hex(out, bytes);
            }
        }
        out.push(b'\n');
    }

    fn push_documents(&mut self, out: &mut Vec<u8>, documents: &Documents<'_>) {
        let kind: &[u8] = match documents.op() {
            Op::Insert => b" insert docs=",
            Op::Delete => b" delete docs=",
        };
        out.extend_from_slice(kind);
        self.push_list::<16, 32>(out, documents.doc_ids().map(u128::to_be_bytes));
        out.extend_from_slice(b" users=");
        self.push_list::<16, 32>(out, documents.user_ids().map(u128::to_be_bytes));
        if documents.op() == Op::Insert {
            out.extend_from_slice(b" vectors=");
            let floats = documents
                .vectors()
                .map(|float| float.to_bits().to_be_bytes());
            self.push_list::<4, 8>(out, floats);
        }
    }

    /// Appends numbers of N bytes and D digits, with commas between them. All digits are made at
    /// once, then set apart: that is what the time of a dump goes into.
    fn push_list<const N: usize, const D: usize>(
        &mut self,
        out: &mut Vec<u8>,
        items: impl ExactSizeIterator<Item = [u8; N]>,
    ) {
        let len = items.len();
        if len == 0 {
            return;
        }
        self.bytes.resize(len * N, 0);
        let places = self.bytes.as_chunks_mut().0;
        places
            .iter_mut()
            .zip(items)
            .for_each(|(place, item)| *place = item);
        self.digits.resize(len * D, 0);
        hex_into(&self.bytes, &mut self.digits);
        let start = out.len();
        out.resize(start + len * (D + 1), b',');
        let places = out[start..].chunks_exact_mut(D + 1);
        for (place, digits) in places.zip(self.digits.as_chunks::<D>().0) {
            place[..D].copy_from_slice(digits);
        }
        // The last comma stands before nothing.
        out.pop();
    }
}

/// Appends the line of entries that an earlier salvage could not bring back.
pub(crate) fn push_lost(out: &mut Vec<u8>, seq: u64, entries: u64) {
    push_number(out, seq);
    out.extend_from_slice(b" lost entries=");
    push_number(out, entries);
    out.push(b'\n');
}

/// Appends two digits a byte.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    hex_into(bytes, &mut out[start..]);
}

fn hex_into(bytes: &[u8], digits: &mut [u8]) {
    const_hex::encode_to_slice(bytes, digits).expect("two digits a byte");
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect("memory takes any bytes");
}
