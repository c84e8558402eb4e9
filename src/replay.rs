//! Reading a log in order, while writers go on.
//!
//! A replay takes a chunk at a time: some frames of a segment, read at once and checked once. Entries
//! are borrowed from the chunk.
//!
//! A first short chunk is read on the spot if it is in the page cache: waking another thread would
//! take longer. Whoever reads on gets the following ones read ahead where the engine has its blocking work
//! done, while those before are checked and shown. Nothing that waits for a disk is done on the spot.

mod chunk;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use self::chunk::{Chunk, Frame, Position, Search};
use crate::catalog::Catalog;
use crate::engine::{Engine, Writer};
use crate::entry::{Entry, SeqNo};
use crate::error::{Error, Kind, Result};
use crate::group::Group;
use crate::segment::{Cursor, Segment, Window};
use crate::sync::{Arc, Mutex};

/// The first read of a replay that has just begun or had caught up.
const FIRST_READ_BYTES: usize = 16 << 10;
/// The first read ahead. Each one is twice as long as the one before.
const AHEAD_BYTES_MIN: usize = 256 << 10;
/// The longest read ahead.
const AHEAD_BYTES_MAX: usize = 2 << 20;
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
/// It takes four megabytes of memory at most, or twice the longest frame if that is more.
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
    /// A chunk that is read and checked elsewhere. Its place is only there.
    reading: Option<Pending<(Chunk, Position)>>,
    /// What probably follows the chunk at hand.
    ahead: Option<Ahead>,
    /// Memory of the chunk before.
    spare: Chunk,
    ahead_bytes: usize,
}

/// Blocking work that was begun. The lock is never taken: it makes a replay `Sync`, as all else in it
/// is.
struct Pending<T>(Mutex<Work<T>>);

/// The outer result says whether it was done.
type Work<T> = Pin<Box<dyn Future<Output = Result<Result<T>>> + Send>>;

impl<T> Pending<T> {
    /// Its result, or the reason why it was not done.
    async fn finish(&mut self) -> Result<Result<T>> {
        let future = self.0.get_mut().expect("the lock is never taken");
        poll_fn(|cx| future.as_mut().poll(cx)).await
    }
}

/// A part of a segment that is being read. It is looked at when it turns out to be what follows.
struct Ahead {
    segment_id: u64,
    /// Every entry below it was durable before the read began.
    durable_seq: SeqNo,
    bytes: usize,
    window: Pending<Window>,
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
            reading: None,
            ahead: None,
            spare: Chunk::default(),
            ahead_bytes: AHEAD_BYTES_MIN,
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
            if let Some(frame) = self.chunk.pop() {
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
        if self.spare.is_bare() {
            // All of the chunk at hand has been shown.
            self.spare = std::mem::take(&mut self.chunk);
        }
        if self.reading.is_none() {
            let window = self.finish_ahead().await;
            let Some(search) = self.search(window) else {
                self.ahead_bytes = AHEAD_BYTES_MIN;
                return Ok(false);
            };
            if matches!(self.engine(), Engine::Inline) {
                // The worker itself waits for the disk.
                let (chunk, position) = search.run()?;
                self.show(chunk, position);
                return Ok(true);
            }
            match search.run_cached(SPOT_BYTES)? {
                Ok((chunk, position)) => {
                    self.show(chunk, position);
                    return Ok(true);
                }
                Err(search) => {
                    let engine = self.engine().clone();
                    let work = async move { engine.run(move || search.run()).await };
                    self.reading = Some(Pending(Mutex::new(Box::pin(work))));
                }
            }
        }
        let reading = self.reading.as_mut().expect("a read was begun");
        let done = reading.finish().await;
        self.reading = None;
        let (chunk, position) = done??;
        self.show(chunk, position);
        Ok(true)
    }

    /// Goes to the beginning of a chunk, and has what follows it read.
    fn show(&mut self, chunk: Chunk, position: Position) {
        self.chunk = chunk;
        if self.ahead.is_none() && !matches!(self.engine(), Engine::Inline) {
            let (segment, offset) = (position.segment.clone(), position.offset);
            self.begin_ahead(segment, offset, position.next_seq);
        }
        self.position = Some(position);
    }

    fn trimmed(&self) -> Option<Error> {
        let (requested, oldest) = (self.next_seq, self.group.trim_seq());
        (requested < oldest).then(|| Error::new(Kind::Trimmed { requested, oldest }))
    }

    fn engine(&self) -> &Engine {
        self.group.host().engine()
    }

    /// The search for the next chunk, unless no entry of it is durable yet. It begins in a window that
    /// was read ahead, with what was durable before that.
    fn search(&mut self, ahead: Option<(Window, SeqNo)>) -> Option<Search> {
        let from = self.position.as_ref().map_or(self.next_seq, |p| p.next_seq);
        let from = from.max(self.next_seq);
        let mut memory = std::mem::take(&mut self.spare);
        let (durable_seq, read_bytes) = match ahead {
            Some((window, durable_seq)) if from < durable_seq => {
                memory.window = window;
                (durable_seq, AHEAD_BYTES_MIN)
            }
            _ => {
                memory.window.clear();
                (self.group.durable_seq(), FIRST_READ_BYTES)
            }
        };
        if from >= durable_seq {
            self.spare = memory;
            return None;
        }
        Some(Search {
            catalog: self.catalog.clone(),
            position: self.position.take(),
            from,
            durable_seq,
            memory,
            read_bytes,
        })
    }

    /// Begins to read what follows an entry, as it seems, unless that is not durable yet.
    fn begin_ahead(&mut self, segment: Arc<Segment>, offset: u64, next_seq: SeqNo) {
        let durable_seq = self.group.durable_seq();
        if next_seq >= durable_seq {
            return;
        }
        let window = std::mem::take(&mut self.spare.window);
        let segment_id = segment.id();
        let bytes = self.ahead_bytes;
        let cursor = Cursor::with_window(segment, offset, window, bytes);
        self.ahead_bytes = (2 * self.ahead_bytes).min(AHEAD_BYTES_MAX);
        let engine = self.engine().clone();
        let mut future: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { engine.run(move || cursor.read_ahead()).await });
        // The first poll hands the work over. Nobody is to be woken when it is done.
        let begun = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = begun {
            future = Box::pin(std::future::ready(done));
        }
        self.ahead = Some(Ahead {
            segment_id,
            durable_seq,
            bytes,
            window: Pending(Mutex::new(future)),
        });
    }

    /// Waits for what is read ahead, has what follows it read, and returns it if it is what follows the
    /// chunk at hand. If it could not be read, it is read again on demand, which tells why.
    async fn finish_ahead(&mut self) -> Option<(Window, SeqNo)> {
        let ahead = self.ahead.as_mut()?;
        // Checking it takes a while. Other tasks get their turn as if it had come in small messages.
        for _ in 0..ahead.bytes / MESSAGE_BYTES {
            tokio::task::consume_budget().await;
        }
        let done = ahead.window.finish().await;
        let ahead = self.ahead.take()?;
        let window = done.ok()?.ok()?;
        let position = self.position.as_ref()?;
        if position.segment.id() != ahead.segment_id {
            return None;
        }
        let segment = position.segment.clone();
        let cursor = Cursor::with_window(segment.clone(), position.offset, window, 0);
        let seq = position.next_seq;
        match cursor.glance_ahead() {
            Some((offset, Some(seq))) => self.begin_ahead(segment, offset, seq),
            // A frame that is longer than the window, or something else: to be found out on demand.
            Some((_, None)) => {}
            None => {
                if let Some(next) = self.catalog.after(segment.id()) {
                    let offset = next.segment.first_offset();
                    self.begin_ahead(next.segment, offset, next.first_seq.max(seq));
                }
            }
        }
        let (_, _, window) = cursor.into_parts();
        Some((window, ahead.durable_seq))
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}
