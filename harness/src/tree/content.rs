//! A file's bytes in memory, without its holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::holes::data_ranges;
use super::walk::OpenFile;
use crate::pages::{PAGE_BYTES, Pages, index};

/// How many bytes are read or written at once.
const STEP: usize = 64 * PAGE_BYTES;

/// A file's bytes. Pages that are the same in several contents share their memory. Two are equal if the
/// bytes are, wherever the holes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content(Pages);

impl Content {
    pub(crate) fn empty() -> Self {
        Self(Pages::zeros(0))
    }

    /// Reads an open file. What is the same as in `known` shares its memory.
    pub(crate) fn read(open: &OpenFile, known: Option<&Self>) -> io::Result<Self> {
        let OpenFile {
            file,
            len,
            allocated,
        } = open;
        let mut content = known.map_or_else(|| Self(Pages::zeros(*len)), Self::clone);
        content.0.set_len(*len);
        let mut end = 0;
        for range in data_ranges(file, *len, *allocated)? {
            content.0.zero(end, range.start - end);
            end = range.end;
            content.read_range(file, range)?;
        }
        content.0.zero(end, len - end);
        Ok(content)
    }

    /// Reads a range again, in a file that has a new length by now. What was added outside the range is
    /// zeros.
    pub(crate) fn read_again(&mut self, open: &OpenFile, range: Range<u64>) -> io::Result<()> {
        self.0.set_len(open.len);
        self.read_range(&open.file, range.start..range.end.min(open.len))
    }

    fn read_range(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        let mut buffer = vec![0; STEP.min(index(range.end.saturating_sub(at)))];
        while at < range.end {
            let wanted = buffer.len().min(index(range.end - at));
            let read = match file.read_at(&mut buffer[..wanted], at) {
                // The file has become shorter: what is not there is zeros.
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.0.write(at, &buffer[..read]);
            at += read as u64;
        }
        self.0.zero(at, range.end.saturating_sub(at));
        Ok(())
    }

    /// Writes it to a new, empty file, and leaves out the holes.
    pub(crate) fn write(&self, file: &File) -> io::Result<()> {
        let len = self.0.len();
        let mut piece = Vec::new();
        let mut start = 0;
        for (number, page) in self.0.pages() {
            let at = number * PAGE_BYTES as u64;
            if at != start + piece.len() as u64 || piece.len() >= STEP {
                file.write_all_at(&piece, start)?;
                piece.clear();
                start = at;
            }
            // The last page may be longer than the file.
            piece.extend_from_slice(&page[..page.len().min(index(len - at))]);
        }
        file.write_all_at(&piece, start)?;
        if start + (piece.len() as u64) < len {
            file.set_len(len)?;
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The bytes of a range, zeros beyond the end.
    pub(crate) fn range(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; index(range.end - range.start)];
        self.0.read(range.start, &mut bytes);
        bytes
    }

    /// Where another content, in which this one is cut or grown to its length, has other bytes: each piece
    /// with the first and the last of them.
    pub(crate) fn pieces_changed_in(&self, new: &Self) -> Vec<Range<u64>> {
        let mut old = self.0.clone();
        old.set_len(new.len());
        let mut pieces: Vec<Range<u64>> = Vec::new();
        for number in old.difference(&new.0) {
            let start = number * PAGE_BYTES as u64;
            let end = (start + PAGE_BYTES as u64).min(new.len());
            match pieces.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => pieces.push(start..end),
            }
        }
        let old = Self(old);
        for piece in &mut pieces {
            let [before, after] = [&old, new].map(|content| content.range(piece.clone()));
            let differs = |(before, after): (&u8, &u8)| before != after;
            let first = before.iter().zip(&after).position(differs);
            let last = before.iter().zip(&after).rposition(differs);
            if let (Some(first), Some(last)) = (first, last) {
                *piece = piece.start + first as u64..piece.start + last as u64 + 1;
            }
        }
        pieces
    }

    /// These bytes, with a range of another content's.
    pub(crate) fn with(&self, other: &Self, range: Range<u64>) -> Self {
        let mut content = self.clone();
        content.0.copy(&other.0, range);
        content
    }

    /// Tells contents apart; the same in every process.
    pub(crate) fn hash(&self) -> u64 {
        self.0.fingerprint()
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.len())];
        self.0.read(0, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn open(file: &File) -> OpenFile {
        use std::os::unix::fs::MetadataExt;
        let stat = file.metadata().expect("there");
        OpenFile {
            file: file.try_clone().expect("a descriptor"),
            len: stat.len(),
            allocated: stat.blocks() * 512,
        }
    }

    #[test]
    fn a_file_is_the_same_with_holes_and_without() {
        let mut bytes = vec![0; 300 * PAGE_BYTES + 100];
        bytes[200 * PAGE_BYTES + 7] = 1;
        let dense = tempfile::tempfile().expect("a file");
        dense.write_all_at(&bytes, 0).expect("written");
        let sparse = tempfile::tempfile().expect("a file");
        sparse.set_len(bytes.len() as u64).expect("set");
        let at = 200 * PAGE_BYTES as u64 + 7;
        sparse.write_all_at(&[1], at).expect("written");
        let [dense, sparse] =
            [dense, sparse].map(|f| Content::read(&open(&f), None).expect("read"));
        assert_eq!(sparse, dense);
        assert_eq!(sparse.hash(), dense.hash());
        assert_eq!(sparse.bytes(), bytes);
    }

    /// Whatever was known before, what is read is what is there, and what is written is the same again.
    #[test]
    fn what_is_read_over_something_older_is_what_is_there() {
        let states: [&[(u64, &[u8])]; 4] = [
            &[(0, &[1; 9000])],
            &[(8000, &[2; 100]), (3_000_000, &[3; 5])],
            &[(1_000_000, &[4; 12_000])],
            &[],
        ];
        let contents = states.map(|writes| {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(3_000_001).expect("set");
            for (at, bytes) in writes {
                file.write_all_at(bytes, *at).expect("written");
            }
            (Content::read(&open(&file), None).expect("read"), file)
        });
        for (content, file) in &contents {
            for (known, _) in &contents {
                let again = Content::read(&open(file), Some(known)).expect("read");
                assert_eq!(&again, content);
            }
            let mut copy = tempfile::tempfile().expect("a file");
            content.write(&copy).expect("written");
            copy.rewind().expect("rewound");
            assert_eq!(&Content::read(&open(&copy), None).expect("read"), content);
        }
    }

    #[test]
    fn a_range_is_read_again() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&[1; 10_000], 0).expect("written");
        let mut content = Content::read(&open(&file), None).expect("read");
        file.write_all_at(&[2; 7000], 6000).expect("written");
        content
            .read_again(&open(&file), 6000..13_000)
            .expect("read");
        assert_eq!(content, Content::read(&open(&file), None).expect("read"));
        file.set_len(100).expect("cut");
        file.write_all_at(&[3; 10], 5000).expect("written");
        content.read_again(&open(&file), 5000..5010).expect("read");
        // The bytes that were cut off and became zeros again were not asked for.
        assert_eq!(content.len(), 5010);
    }
}
