//! A piece of a log in memory: whole frames, each checked once, all of them durable.

use std::collections::VecDeque;
use std::ops::Range;

use crate::catalog::Catalog;
use crate::entry::{self, Entry, SeqNo};
use crate::error::{Error, Kind, Result};
use crate::segment::{Cursor, Found, Segment, Window};
use crate::sync::Arc;

/// Frames in a row of one segment.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) window: Window,
    frames: VecDeque<Frame>,
}

/// The entries of a frame, or those that are left of it, in a chunk's window.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    payload: Range<usize>,
    /// Number of the first entry in `payload`.
    pub(super) seq: SeqNo,
    pub(super) end_seq: SeqNo,
}

/// Where the frames of a chunk end, and what goes on there.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) next_seq: SeqNo,
    /// Not known at the beginning of a segment that was looked up.
    next_group: Option<u64>,
}

impl Chunk {
    /// Whether there is no memory in it to be used again.
    pub(super) fn is_bare(&self) -> bool {
        self.window.is_empty()
    }

    /// The next frame of the chunk, which it then does not have any more.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.frames.pop_front()
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
    /// Memory to be used again. What its window holds was read ahead from the position's segment,
    /// when all below `durable_seq` was durable already.
    pub(super) memory: Chunk,
    pub(super) read_bytes: usize,
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
        frames.clear();
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
                let found = match cursor.peek_in_window() {
                    Ok(found) => found,
                    Err(_) if !frames.is_empty() => break,
                    Err(missing) if patience.allows(&mut cursor, missing) => continue,
                    Err(_) if patience != Patience::Blocking => {
                        must_wait = true;
                        break;
                    }
                    Err(_) => cursor.peek()?,
                };
                match found {
                    Found::Frame(header, payload)
                        if header.continues(next.next_seq, next.next_group) =>
                    {
                        if header.lost && header.end_seq() > self.from {
                            if !frames.is_empty() {
                                break;
                            }
                            let (first, end) = (self.from, header.end_seq());
                            return Err(Error::new(Kind::Lost { first, end }));
                        }
                        cursor.advance(&header);
                        next.next_seq = header.end_seq();
                        next.next_group = Some(header.group + 1);
                        if header.end_seq() > self.from {
                            frames.push_back(Frame {
                                payload,
                                seq: header.first_seq,
                                end_seq: header.end_seq(),
                            });
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
                return Ok(Ok((Chunk { window, frames }, next)));
            }
            if must_wait {
                return Ok(Err(Self {
                    position: Some(next),
                    memory: Chunk { window, frames },
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
