//! Reading a log in order, while writers go on.
//!
//! A replay takes a chunk at a time: some frames of a segment, read at once. Entries are borrowed from the
//! chunk. Whoever reads a chunk sees to headers, order and structure; the payloads' checksums are looked at
//! when a frame is shown: the two take about the same time, and may have a processor each.
//!
//! A first short chunk is read on the spot if it is in the page cache: waking another thread would
//! take longer. Whoever reads on gets the following ones read ahead where the engine has its blocking work
//! done, while those before are checked and shown. Nothing that waits for a disk is done on the spot.

mod ahead;
mod chunk;

use self::ahead::Ahead;
use self::chunk::{Chunk, Frame, Position, Search};
use crate::catalog::Catalog;
use crate::cursor::Check;
use crate::engine::{Engine, Writer};
use crate::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::group::Group;
use crate::seq_no::SeqNo;
use crate::sync::Arc;

/// The first read of a replay that has just begun or had caught up.
const FIRST_READ_BYTES: usize = 16 << 10;
/// How much is read on the spot if it is in the page cache. A longer frame is read and checked
/// elsewhere.
const SPOT_BYTES: u64 = 1 << 20;
/// What costs a task as much of its turn as a message on one of Tokio's channels.
const MESSAGE_BYTES: usize = 64 << 10;

/// A reader of a log, made by [`Wal::replay`](crate::Wal::replay). It shows only what is durable.
///
/// It keeps its place: when it has caught up, [`next`](Self::next) returns `None`, and goes on from
/// there when it is called after more entries have become durable.
///
/// It takes five megabytes of memory at most, and twice the longest frame.
pub struct Replay {
    group: Arc<Group<Writer>>,
    catalog: Arc<Catalog>,
    /// The next entry to be shown.
    next_seq: SeqNo,
    /// The chunk at hand, and what is left of its frame at hand.
    chunk: Chunk,
    frame: Frame,
    /// Behind the chunk at hand; `None` before the first read and after a failed one.
    position: Option<Position>,
    ahead: Ahead,
    /// How the next search examines frames.
    check: Check,
}

/// An entry and its place in the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Sequence number.
    pub seq: SeqNo,
    /// The entry, borrowed from the replay's memory.
    pub entry: Entry<'a>,
}

/// The entries of a write group, or those that are left of it; see [`Replay::next_group`].
///
/// What is not taken out of it is shown by the replay's next call.
#[derive(Debug)]
pub struct Records<'a> {
    chunk: &'a Chunk,
    frame: &'a mut Frame,
    next_seq: &'a mut SeqNo,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let seq = self.frame.seq;
        let entry = self.chunk.take_entry(self.frame)?;
        *self.next_seq = self.frame.seq;
        Some(Record { seq, entry })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.frame.end_seq - self.frame.seq);
        let left = left.expect("a frame's entries are in memory");
        (left, Some(left))
    }
}

impl ExactSizeIterator for Records<'_> {}

impl Replay {
    pub(crate) fn new(group: Arc<Group<Writer>>, catalog: Arc<Catalog>, from: SeqNo) -> Self {
        Self {
            group,
            catalog,
            next_seq: from,
            chunk: Chunk::default(),
            frame: Frame::default(),
            position: None,
            ahead: Ahead::default(),
            check: Check::ButChecksum,
        }
    }

    /// The next durable entry, or `None` if there is none at the moment.
    ///
    /// # Errors
    /// - [`Error::is_trimmed`] if the entry has been trimmed; start again from
    ///   [`Wal::trim_seq`](crate::Wal::trim_seq).
    /// - [`Error::lost_entries`] if the log was salvaged and the entry is among those that were lost;
    ///   whoever accepts that starts again behind them.
    /// - [`Error::is_corruption`] if the entry cannot be read although it is durable.
    /// - An I/O error. Calling again repeats the read.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a read that was begun goes on, and the next call waits for
    /// it.
    pub async fn next(&mut self) -> Result<Option<Record<'_>>> {
        let records = self.next_group().await?;
        Ok(records.and_then(|mut records| records.next()))
    }

    /// The entries of the next write group, those that are left of the one at hand first; `None` if
    /// none is durable at the moment. There is at least one.
    ///
    /// It shows the same entries as [`next`](Self::next), without an await for each:
    ///
    /// ```
    /// # async fn show(wal: groupwal::Wal) -> Result<(), groupwal::Error> {
    /// let mut replay = wal.replay(wal.trim_seq());
    /// while let Some(records) = replay.next_group().await? {
    ///     for record in records {
    ///         println!("{}: {:?}", record.seq, record.entry);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_group(&mut self) -> Result<Option<Records<'_>>> {
        while self.frame.seq == self.frame.end_seq {
            if !self.next_frame().await? {
                return Ok(None);
            }
        }
        Ok(Some(Records {
            chunk: &self.chunk,
            frame: &mut self.frame,
            next_seq: &mut self.next_seq,
        }))
    }

    /// Goes to the frame with the next entry; `false` if none is durable yet.
    async fn next_frame(&mut self) -> Result<bool> {
        loop {
            if let Some(trimmed) = self.trimmed() {
                return Err(trimmed);
            }
            let popped = match self.chunk.pop() {
                Ok(popped) => popped,
                Err(place) => {
                    self.doubt(place);
                    None
                }
            };
            if let Some(frame) = popped {
                self.frame = frame;
                // The replay begins in the middle of a frame.
                while self.frame.seq < self.next_seq {
                    self.chunk.take_entry(&mut self.frame);
                }
                return Ok(true);
            }
            // A trim while we read may take the segment away under us.
            let read = self.next_chunk().await;
            if !read.map_err(|error| self.trimmed().unwrap_or(error))? {
                return Ok(false);
            }
        }
    }

    /// Goes to the next chunk; `false` if none is durable yet.
    async fn next_chunk(&mut self) -> Result<bool> {
        self.ahead.reuse(std::mem::take(&mut self.chunk));
        // Other tasks get their turn as if what was read had come in small messages.
        for _ in 0..self.ahead.next_bytes() / MESSAGE_BYTES {
            tokio::task::consume_budget().await;
        }
        loop {
            if let Some((chunk, end)) = self.ahead.next().await? {
                self.show(chunk, end);
                return Ok(true);
            }
            let Some(search) = self.search() else {
                self.ahead.calm_down();
                return Ok(false);
            };
            if self.engine().works_in_place() {
                // The worker itself waits for the disk.
                (self.chunk, self.position) =
                    search.run().map(|(chunk, end)| (chunk, Some(end)))?;
                return Ok(true);
            }
            match search.run_cached(SPOT_BYTES)? {
                Ok((chunk, end)) => {
                    self.show(chunk, end);
                    return Ok(true);
                }
                Err(search) => self.ahead.begin(self.group.host().engine(), search, true),
            }
        }
    }

    /// Goes to the beginning of a chunk, and has what follows it read.
    fn show(&mut self, chunk: Chunk, end: Position) {
        self.chunk = chunk;
        let durable_seq = self.group.durable_seq();
        if let Some(place) = self.ahead.due(&end)
            && place.next_seq < durable_seq
        {
            let search = Search::behind(self.catalog.clone(), place, durable_seq);
            let engine = self.group.host().engine();
            self.ahead.begin(engine, search, false);
        }
        self.position = Some(end);
    }

    /// What follows `place` is not what it seemed. It may be what a failed write has left, where the next
    /// segment goes on: whatever was read behind it is forgotten, and read again with more care.
    fn doubt(&mut self, place: Position) {
        self.chunk.forget();
        self.ahead = Ahead::default();
        self.position = Some(place);
        self.check = Check::Whole;
    }

    fn trimmed(&self) -> Option<Error> {
        let (requested, oldest) = (self.next_seq, self.group.trim_seq());
        (requested < oldest).then(|| Error::new(Kind::Trimmed { requested, oldest }))
    }

    fn engine(&self) -> &Arc<dyn Engine> {
        self.group.host().engine()
    }

    /// The search for the next chunk, unless no entry of it is durable yet.
    fn search(&mut self) -> Option<Search> {
        let from = self.position.as_ref().map_or(self.next_seq, |p| p.next_seq);
        let from = from.max(self.next_seq);
        let durable_seq = self.group.durable_seq();
        (from < durable_seq).then(|| Search {
            catalog: self.catalog.clone(),
            position: self.position.take(),
            from,
            durable_seq,
            memory: self.ahead.memory(),
            read_bytes: FIRST_READ_BYTES,
            check: std::mem::replace(&mut self.check, Check::ButChecksum),
        })
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}
