//! A piece of a log in memory: whole frames, all of them durable.

use std::collections::VecDeque;
use std::ops::Range;

use crate::catalog::Catalog;
use crate::cursor::{Check, Cursor, Found, Window};
use crate::entry::{self, Entry};
use crate::error::{Error, Kind, Result};
use crate::frame::{HEADER_BYTES, Header};
use crate::segment::Segment;
use crate::seq_no::SeqNo;
use crate::sync::Arc;

/// Frames in a row of one segment.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    window: Window,
    frames: VecDeque<Frame>,
    /// Where they are from, unless that does not matter any more: the checksums of their payloads are
    /// still to be looked at.
    unchecked: Option<Arc<Segment>>,
}

/// The entries of a frame, or those that are left of it, in a chunk's window.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Where it stands in its segment.
    offset: u64,
    group: u64,
    payload: Range<usize>,
    /// Number of the first entry in `payload`.
    pub(super) seq: SeqNo,
    pub(super) end_seq: SeqNo,
}

impl Frame {
    fn new(offset: u64, header: &Header, payload: Range<usize>) -> Self {
        Self {
            offset,
            group: header.group,
            payload,
            seq: header.first_seq,
            end_seq: header.end_seq(),
        }
    }
}

/// Where the frames of a chunk end, and what goes on there.
#[derive(Clone, Debug)]
pub(super) struct Position {
    segment: Arc<Segment>,
    offset: u64,
    pub(super) next_seq: SeqNo,
    /// Not known at the beginning of a segment that was looked up.
    next_group: Option<u64>,
}

impl Chunk {
    /// How much it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.window.memory_bytes()
    }

    /// Keeps the memory alone: what was read into it is no answer for what has been written since.
    pub(super) fn forget(&mut self) {
        self.window.clear();
        self.frames.clear();
        self.unchecked = None;
    }

    /// The next frame of the chunk, which it then does not have any more.
    ///
    /// # Errors
    /// If the frame's checksum does not fit. What it is the place of then has to be found out by a search
    /// that is [`Check::Whole`], from there on.
    pub(super) fn pop(&mut self) -> std::result::Result<Option<Frame>, Position> {
        let Some(frame) = self.frames.pop_front() else {
            return Ok(None);
        };
        if let Some(segment) = &self.unchecked {
            let whole = frame.payload.start - HEADER_BYTES..frame.payload.end;
            if !segment.payload_fits(frame.offset, self.window.bytes(whole)) {
                return Err(Position {
                    segment: segment.clone(),
                    offset: frame.offset,
                    next_seq: frame.seq,
                    next_group: Some(frame.group),
                });
            }
        }
        Ok(Some(frame))
    }

    /// Takes the next entry out of a frame of this chunk.
    #[inline]
    pub(super) fn take_entry(&self, frame: &mut Frame) -> Option<Entry<'_>> {
        if frame.seq == frame.end_seq {
            return None;
        }
        let payload = self.window.bytes(frame.payload.clone());
        let (entry, rest) = entry::decode_again(payload).expect("a frame's entries were checked");
        frame.payload.start = frame.payload.end - rest.len();
        frame.seq += 1;
        Some(entry)
    }
}

/// A search for the frames with the entries from `from` on, as many as one read brings. Owns all it
/// needs, so that it can run on another thread.
pub(super) struct Search {
    pub(super) catalog: Arc<Catalog>,
    /// Where to go on; without it, where the catalog says.
    pub(super) position: Option<Position>,
    pub(super) from: SeqNo,
    /// Every entry below it is durable, and was so before this search began to read. Nothing from
    /// there on is looked at: it may be half written.
    pub(super) durable_seq: SeqNo,
    /// Memory to be used again, with nothing in it but what this search has read.
    pub(super) memory: Chunk,
    pub(super) read_bytes: usize,
    pub(super) check: Check,
}

/// How a search may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// It waits for the disk.
    Blocking,
    /// So many bytes more, and only what is in the page cache.
    Cached(u64),
}

impl Search {
    /// Returns at least one frame, and where they end.
    ///
    /// # Errors
    /// As [`Replay::next`](super::Replay::next).
    pub(super) fn run(self) -> Result<(Chunk, Position)> {
        let found = self.run_with(Patience::Blocking)?;
        Ok(found.unwrap_or_else(|_| unreachable!("it waited for the disk")))
    }

    /// The same without waiting for the disk, and without looking at more than `bytes_max`. Gives the
    /// search back if that does not do; it goes on from where it got to.
    pub(super) fn run_cached(
        self,
        bytes_max: u64,
    ) -> Result<std::result::Result<(Chunk, Position), Self>> {
        self.run_with(Patience::Cached(bytes_max))
    }

    fn run_with(
        self,
        mut patience: Patience,
    ) -> Result<std::result::Result<(Chunk, Position), Self>> {
        debug_assert!(self.from < self.durable_seq);
        let mut frames = self.memory.frames;
        let mut next = match self.position {
            Some(position) => position,
            None => Position::find(&self.catalog, self.from)?,
        };
        let mut window = self.memory.window;
        loop {
            let mut cursor =
                Cursor::with_window(next.segment, next.offset, window, self.read_bytes);
            let mut must_wait = false;
            let mut is_end = false;
            while next.next_seq < self.durable_seq {
                // What is in memory is looked at first, and handed on before more is read.
                let found = match cursor.peek_in_window(self.check) {
                    Ok(found) => found,
                    Err(_) if !frames.is_empty() => break,
                    Err(missing) if patience.allows(&mut cursor, missing) => continue,
                    Err(_) if patience != Patience::Blocking => {
                        must_wait = true;
                        break;
                    }
                    Err(_) => match cursor.peek_with(self.check) {
                        // The next segment has what is looked for, and this one may have been trimmed.
                        Err(_) if goes_on_behind(&self.catalog, &cursor, next.next_seq) => {
                            next.next_group = None;
                            Found::Nothing
                        }
                        found => found?,
                    },
                };
                match found {
                    Found::Frame(header, payload)
                        if header.continues(next.next_seq, next.next_group)
                            && (header.end_seq() > self.from
                                || is_whole(&cursor, &payload, self.check)) =>
                    {
                        if header.lost && header.end_seq() > self.from {
                            if !frames.is_empty() {
                                break;
                            }
                            let (first, end) = (self.from, header.end_seq());
                            return Err(Error::new(Kind::Lost { first, end }));
                        }
                        let offset = cursor.offset;
                        cursor.advance(&header);
                        next.next_seq = header.end_seq();
                        next.next_group = Some(header.group + 1);
                        if header.end_seq() > self.from {
                            frames.push_back(Frame::new(offset, &header, payload));
                        }
                    }
                    _ => {
                        is_end = true;
                        break;
                    }
                }
            }
            let (segment, offset);
            (segment, offset, window) = cursor.into_parts();
            let unchecked = (self.check == Check::ButChecksum).then(|| segment.clone());
            // The rest of the segment is unused if the next one goes on with the entry we look for.
            let listed = if is_end {
                self.catalog.after(segment.id())
            } else {
                None
            };
            let listed = listed.filter(|listed| listed.first_seq == next.next_seq);
            let is_over = listed.is_some();
            if let Some(listed) = listed {
                next.offset = listed.segment.first_offset();
                next.segment = listed.segment;
            } else {
                (next.segment, next.offset) = (segment, offset);
            }
            if !frames.is_empty() {
                let chunk = Chunk {
                    window,
                    frames,
                    unchecked,
                };
                return Ok(Ok((chunk, next)));
            }
            if must_wait {
                return Ok(Err(Self {
                    position: Some(next),
                    memory: Chunk {
                        window,
                        frames,
                        unchecked: None,
                    },
                    ..self
                }));
            }
            if !is_over {
                let detail = format!("entry {} is durable but cannot be read", next.next_seq);
                return Err(Error::corrupt(&next.segment.path, next.offset, detail));
            }
            window.clear();
        }
    }
}

/// Whether entry `seq` is the first of the segment after the cursor's.
fn goes_on_behind(catalog: &Catalog, cursor: &Cursor, seq: SeqNo) -> bool {
    let next = catalog.after(cursor.segment.id());
    next.is_some_and(|listed| listed.first_seq == seq)
}

/// Whether a frame that is skipped is whole: nobody else will look at its checksum.
fn is_whole(cursor: &Cursor, payload: &Range<usize>, check: Check) -> bool {
    let frame = payload.start - HEADER_BYTES..payload.end;
    let fits = || {
        let bytes = cursor.bytes(frame);
        cursor.segment.payload_fits(cursor.offset, bytes)
    };
    check == Check::Whole || fits()
}

impl Patience {
    /// Reads what the cursor misses, if that takes no wait and is not too much; says whether it did.
    fn allows(&mut self, cursor: &mut Cursor, missing: u64) -> bool {
        match self {
            Self::Blocking => false,
            Self::Cached(left) => {
                let costs = missing.max(cursor.read_bytes());
                let allowed = costs <= *left && cursor.read_cached(missing);
                *left = left.saturating_sub(costs);
                allowed
            }
        }
    }
}

impl Position {
    /// The beginning of the segment with entry `seq`.
    fn find(catalog: &Catalog, seq: SeqNo) -> Result<Self> {
        let listed = catalog.find(seq).ok_or_else(|| {
            Error::new(Kind::Trimmed {
                requested: seq,
                oldest: seq + 1,
            })
        })?;
        Ok(Self {
            offset: listed.segment.first_offset(),
            segment: listed.segment,
            next_seq: listed.first_seq,
            next_group: None,
        })
    }
}
