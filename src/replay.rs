//! Reading a log in order, while writers go on.
//!
//! A replay reads a chunk at a time on the engine's blocking threads: there its frames are checked,
//! once. While the entries of one chunk are shown, the next is read ahead. Entries are borrowed from
//! the chunk, nothing is copied.

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
use crate::sync::{Arc, Mutex};

/// The first read of a replay that has just begun or had caught up, and the largest: each one is
/// twice as long as the one before.
const READ_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 20;

/// A reader of a log, made by [`Wal::replay`](crate::Wal::replay). It shows only what is durable.
///
/// It keeps its place: when it has caught up, [`next`](Self::next) returns `None`, and goes on from
/// there when it is called after more entries have become durable.
///
/// It takes two megabytes of memory, or twice the longest frame if that is more.
pub struct Replay {
    group: Arc<Group<Writer>>,
    catalog: Arc<Catalog>,
    /// The next entry to be shown.
    next_seq: SeqNo,
    /// The chunk at hand, and what is left of its frame at hand.
    chunk: Chunk,
    frame: Frame,
    /// Behind the chunk at hand, or behind the one that is being read; `None` before the first read
    /// and after a failed one.
    position: Option<Position>,
    reading: Option<Reading>,
    /// Memory of the chunk before.
    spare: Chunk,
    read_bytes: usize,
}

type ReadFuture = Pin<Box<dyn Future<Output = Result<Result<(Chunk, Position)>>> + Send>>;

/// A chunk that is being read.
struct Reading {
    /// The lock is never taken: it makes a replay `Sync`, as what it holds otherwise is.
    future: Mutex<ReadFuture>,
    /// Begun before anybody had asked for it.
    is_ahead: bool,
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
            spare: Chunk::default(),
            read_bytes: *READ_BYTES.start(),
        }
    }

    /// The next durable entry, or `None` if there is none at the moment.
    ///
    /// # Errors
    /// - [`Error::is_trimmed`] if the entry has been trimmed; start again from
    ///   [`Wal::trim_seq`](crate::Wal::trim_seq).
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
            if self.reading.is_none() && !self.begin_read(false) {
                self.read_bytes = *READ_BYTES.start();
                return Ok(false);
            }
            match self.finish_read().await {
                Ok(()) => {}
                // A trim while we read took the segment away under us.
                Err(error) => return Err(self.trimmed().unwrap_or(error)),
            }
        }
    }

    fn trimmed(&self) -> Option<Error> {
        let (requested, oldest) = (self.next_seq, self.group.trim_seq());
        (requested < oldest).then(|| Error::new(Kind::Trimmed { requested, oldest }))
    }

    fn engine(&self) -> &Engine {
        self.group.host().engine()
    }

    /// Begins to read the next chunk; `false` if no entry of it is durable yet.
    fn begin_read(&mut self, is_ahead: bool) -> bool {
        let position = self.position.take();
        let from = position.as_ref().map_or(self.next_seq, |position| {
            position.next_seq.max(self.next_seq)
        });
        let durable_seq = self.group.durable_seq();
        if from >= durable_seq {
            self.position = position;
            return false;
        }
        let search = Search {
            catalog: self.catalog.clone(),
            position,
            from,
            durable_seq,
            memory: std::mem::take(&mut self.spare),
            read_bytes: self.read_bytes,
        };
        self.read_bytes = (2 * self.read_bytes).min(*READ_BYTES.end());
        let engine = self.engine().clone();
        let mut future: ReadFuture =
            Box::pin(async move { engine.run(move || search.run()).await });
        if is_ahead {
            // The first poll hands the work over. Nobody is to be woken when it is done.
            let begun = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(done) = begun {
                future = Box::pin(std::future::ready(done));
            }
        }
        self.reading = Some(Reading {
            future: Mutex::new(future),
            is_ahead,
        });
        true
    }

    /// Waits for the chunk that is being read, and begins to read ahead.
    async fn finish_read(&mut self) -> Result<()> {
        let reading = self.reading.as_mut().expect("a read was begun");
        let is_ahead = reading.is_ahead;
        let future = reading.future.get_mut().expect("the lock is never taken");
        let done = poll_fn(|cx| future.as_mut().poll(cx)).await;
        self.reading = None;
        let (chunk, position) = match done {
            // The runtime that read ahead has gone. This one may read.
            Err(_) if is_ahead => return Ok(()),
            done => done??,
        };
        self.position = Some(position);
        self.spare = std::mem::replace(&mut self.chunk, chunk);
        if !matches!(self.engine(), Engine::Inline) {
            self.begin_read(true);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}
