//! A segment file: rows in order, checksummed, never changed.
//!
//! ```text
//! block   rows, one after another: about 64 KiB, at least one
//!         row     u128 user | u128 document | u8 kind | f32 x dimension, if the kind is 1
//!                 kind 0: removed; kind 1: a vector
//! ...     more blocks
//! index   for each block: u128 user | u128 document (of its first row) | u64 offset | u64 length
//!         | u64 CRC-64/NVME of its bytes
//! tail    magic "gWcolSg1" | u64 segment id | u64 rows | u64 blocks | u64 dimension
//!         | u64 CRC-64/NVME of the index | u64 CRC-64/NVME of the 48 bytes before
//! ```
//!
//! All integers are little-endian. The manifest knows the file's length, so that the tail is found
//! and a file cut short is noticed. The index is kept in memory; a block is checked each time that it is
//! read.

use std::sync::Arc;

use groupwal::StorageDir;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{self, File};
use crate::row::{Key, Row};

const MAGIC: [u8; 8] = *b"gWcolSg1";
/// A block is full when it has so many bytes.
const BLOCK_BYTES: usize = 64 << 10;
const KEY_BYTES: usize = 32;
const INDEX_ENTRY_BYTES: usize = KEY_BYTES + 3 * 8;
const TAIL_BYTES: usize = 56;
const KIND_REMOVED: u8 = 0;
const KIND_VECTOR: u8 = 1;

/// What the manifest knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentInfo {
    pub(crate) id: u64,
    pub(crate) rows: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
}

const SUFFIX: &str = ".segment";

/// A segment's name.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// The id in a segment's name; `None` for any name that [`name`] does not make.
pub(crate) fn id_of(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(SUFFIX)?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    (name(id) == file).then_some(id)
}

/// A block's place, and what to know before it is read.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: Key,
    offset: u64,
    len: usize,
    checksum: u64,
}

/// Writes a segment, row by row.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: File,
    id: u64,
    dimension: usize,
    rows: u64,
    block: Vec<u8>,
    /// Of the block at hand.
    first: Option<Key>,
    last: Option<Key>,
    blocks: Vec<Block>,
    offset: u64,
}

impl SegmentWriter {
    pub(crate) fn create(dir: &dyn StorageDir, id: u64, dimension: usize) -> Result<Self> {
        Ok(Self {
            file: File::create(dir, &name(id))?,
            id,
            dimension,
            rows: 0,
            block: Vec::new(),
            first: None,
            last: None,
            blocks: Vec::new(),
            offset: 0,
        })
    }

    pub(crate) fn name(&self) -> String {
        name(self.id)
    }

    /// Keys come in order.
    pub(crate) fn push(&mut self, row: Row) -> Result<()> {
        assert!(self.last < Some(row.key), "rows are written in order");
        self.last = Some(row.key);
        self.first.get_or_insert(row.key);
        self.rows += 1;
        self.block.extend(row.key.user.to_le_bytes());
        self.block.extend(row.key.doc.to_le_bytes());
        match row.vector {
            None => self.block.push(KIND_REMOVED),
            Some(vector) => {
                assert_eq!(vector.len(), self.dimension);
                self.block.push(KIND_VECTOR);
                let bytes = vector.iter().flat_map(|float| float.to_le_bytes());
                self.block.extend(bytes);
            }
        }
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let Some(first) = self.first.take() else {
            return Ok(());
        };
        self.file.write_all_at(&self.block, self.offset)?;
        self.blocks.push(Block {
            first,
            offset: self.offset,
            len: self.block.len(),
            checksum: crc_fast::crc64_nvme(&self.block),
        });
        self.offset += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left, and syncs the file. Its name is not durable yet.
    pub(crate) fn finish(mut self) -> Result<Segment> {
        self.end_block()?;
        let mut end = Vec::with_capacity(self.blocks.len() * INDEX_ENTRY_BYTES + TAIL_BYTES);
        for block in &self.blocks {
            end.extend(block.first.user.to_le_bytes());
            end.extend(block.first.doc.to_le_bytes());
            for word in [block.offset, block.len as u64, block.checksum] {
                end.extend(word.to_le_bytes());
            }
        }
        let index_checksum = crc_fast::crc64_nvme(&end);
        let tail = end.len();
        end.extend(MAGIC);
        let (blocks, dimension) = (self.blocks.len() as u64, self.dimension as u64);
        for word in [self.id, self.rows, blocks, dimension, index_checksum] {
            end.extend(word.to_le_bytes());
        }
        end.extend(crc_fast::crc64_nvme(&end[tail..]).to_le_bytes());
        self.file.write_all_at(&end, self.offset)?;
        self.file.sync()?;
        let info = SegmentInfo {
            id: self.id,
            rows: self.rows,
            bytes: self.offset + end.len() as u64,
        };
        Ok(Segment {
            file: self.file,
            info,
            dimension: self.dimension,
            blocks: self.blocks,
        })
    }

    /// Gives the file up.
    pub(crate) fn discard(self, dir: &dyn StorageDir) {
        files::give_up(dir, &self.name());
    }
}

/// A whole segment, open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    pub(crate) info: SegmentInfo,
    dimension: usize,
    blocks: Vec<Block>,
}

impl Segment {
    /// Opens a segment that the manifest names.
    pub(crate) fn open(dir: &dyn StorageDir, info: SegmentInfo, dimension: usize) -> Result<Self> {
        let file = File::open(dir, &name(info.id))?;
        let corrupt = |detail: &str| Error::corrupt(&file.path, detail);
        let length = file.length()?;
        if length != info.bytes {
            let detail = format!("it is {length} bytes long, and was {}", info.bytes);
            return Err(corrupt(&detail));
        }
        let at = length.checked_sub(TAIL_BYTES as u64);
        let at = at.ok_or_else(|| corrupt("it is too short for a segment"))?;
        let mut tail = [0; TAIL_BYTES];
        file.read_exact_at(&mut tail, at)?;
        let words: Vec<u64> = words(&tail);
        let &[
            _,
            id,
            rows,
            blocks,
            tail_dimension,
            index_checksum,
            checksum,
        ] = words.as_slice()
        else {
            unreachable!("a tail has seven words");
        };
        if tail[..8] != MAGIC || checksum != crc_fast::crc64_nvme(&tail[..TAIL_BYTES - 8]) {
            return Err(corrupt("its tail is not what was written"));
        }
        if (id, rows, tail_dimension) != (info.id, info.rows, dimension as u64) {
            return Err(corrupt("its tail is another segment's"));
        }
        let index_bytes = blocks.checked_mul(INDEX_ENTRY_BYTES as u64);
        let data_bytes = index_bytes.and_then(|bytes| at.checked_sub(bytes));
        let (Some(index_bytes), Some(data_bytes)) = (index_bytes, data_bytes) else {
            return Err(corrupt("its index does not fit the file"));
        };
        let index_bytes = usize::try_from(index_bytes);
        // No longer than the file, whose length is right.
        let mut index = vec![0; index_bytes.map_err(|_| corrupt("its index is too large"))?];
        file.read_exact_at(&mut index, data_bytes)?;
        if crc_fast::crc64_nvme(&index) != index_checksum {
            return Err(corrupt("its index is not what was written"));
        }
        let entries = index.as_chunks::<INDEX_ENTRY_BYTES>().0.iter();
        let blocks: Option<Vec<Block>> = entries.map(decode_block).collect();
        let blocks = blocks.ok_or_else(|| corrupt("a block is too large"))?;
        Ok(Self {
            file,
            info,
            dimension,
            blocks,
        })
    }

    /// The blocks that can hold a user's rows.
    fn blocks_of(&self, user: u128) -> std::ops::Range<usize> {
        let after = self
            .blocks
            .partition_point(|block| block.first.user <= user);
        // The rows may begin in the middle of the block before the first that begins with the user.
        let before = self.blocks.partition_point(|block| block.first.user < user);
        before.saturating_sub(1)..after
    }

    fn read(&self, block: usize) -> Result<Vec<u8>> {
        let Block {
            offset,
            len,
            checksum,
            ..
        } = self.blocks[block];
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        if crc_fast::crc64_nvme(&bytes) != checksum {
            return Err(self.corrupt(block));
        }
        Ok(bytes)
    }

    fn corrupt(&self, block: usize) -> Error {
        let offset = self.blocks[block].offset;
        let detail = format!("the block at byte {offset} is not what was written");
        Error::corrupt(&self.file.path, detail)
    }

    /// Removes the file. Who has it open goes on reading.
    pub(crate) fn remove(&self, dir: &dyn StorageDir) {
        files::give_up(dir, &name(self.info.id));
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.as_chunks().0.iter();
    words.map(|word| u64::from_le_bytes(*word)).collect()
}

fn decode_block(entry: &[u8; INDEX_ENTRY_BYTES]) -> Option<Block> {
    let (key, rest) = entry.split_at(KEY_BYTES);
    let words = words(rest);
    Some(Block {
        first: decode_key(key)?,
        offset: words[0],
        len: usize::try_from(words[1]).ok()?,
        checksum: words[2],
    })
}

fn decode_key(bytes: &[u8]) -> Option<Key> {
    let [user, doc] = bytes.as_chunks::<16>().0 else {
        return None;
    };
    Some(Key {
        user: u128::from_le_bytes(*user),
        doc: u128::from_le_bytes(*doc),
    })
}

/// Reads a segment's rows in order, one block in memory at a time.
#[derive(Debug)]
pub(crate) struct Cursor {
    segment: Arc<Segment>,
    /// Blocks still to be read.
    blocks: std::ops::Range<usize>,
    /// Only this user's rows, if one is given.
    user: Option<u128>,
    block: Vec<u8>,
    at: usize,
    /// The row at hand.
    key: Option<Key>,
    has_vector: bool,
    vector: Vec<f32>,
}

impl Cursor {
    /// Stands on the first of a user's rows, or of all.
    pub(crate) fn new(segment: Arc<Segment>, user: Option<u128>) -> Result<Self> {
        let blocks = match user {
            Some(user) => segment.blocks_of(user),
            None => 0..segment.blocks.len(),
        };
        let mut cursor = Self {
            segment,
            blocks,
            user,
            block: Vec::new(),
            at: 0,
            key: None,
            has_vector: false,
            vector: Vec::new(),
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// The key of the row at hand; `None` at the end.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key
    }

    /// The row at hand.
    ///
    /// # Panics
    /// At the end.
    pub(crate) fn row(&mut self) -> Row<'_> {
        let key = self.key.expect("the cursor stands on a row");
        if !self.has_vector {
            return Row { key, vector: None };
        }
        let bytes = &self.block[self.at - 4 * self.segment.dimension..self.at];
        self.vector.clear();
        let floats = bytes.as_chunks().0.iter();
        self.vector
            .extend(floats.map(|float| f32::from_le_bytes(*float)));
        let vector = Some(self.vector.as_slice());
        Row { key, vector }
    }

    /// Moves to the next row.
    pub(crate) fn advance(&mut self) -> Result<()> {
        loop {
            if self.at == self.block.len() {
                let Some(next) = self.blocks.next() else {
                    self.key = None;
                    return Ok(());
                };
                self.block = self.segment.read(next)?;
                self.at = 0;
            }
            let before = self.key;
            self.step().ok_or_else(|| {
                // Its checksum is right: somebody wrote it so.
                self.segment.corrupt(self.blocks.start - 1)
            })?;
            if before >= self.key {
                return Err(self.segment.corrupt(self.blocks.start - 1));
            }
            match (self.user, self.key) {
                (Some(user), Some(key)) if key.user < user => {}
                (Some(user), Some(key)) if key.user > user => {
                    // The end of the user's rows.
                    (self.blocks.start, self.at) = (self.blocks.end, self.block.len());
                    self.key = None;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// Decodes the row at `at` and moves behind it. `None`: there is no whole row.
    fn step(&mut self) -> Option<()> {
        let rest = &self.block[self.at..];
        let (key, rest) = rest.split_at_checked(KEY_BYTES)?;
        let (kind, rest) = rest.split_first()?;
        self.key = decode_key(key);
        self.has_vector = match *kind {
            KIND_REMOVED => false,
            KIND_VECTOR => true,
            _ => return None,
        };
        let vector = if self.has_vector {
            4 * self.segment.dimension
        } else {
            0
        };
        rest.get(..vector)?;
        self.at += KEY_BYTES + 1 + vector;
        Some(())
    }
}
