//! Reading a log in order, while writers go on.
//!
//! A replay takes a chunk at a time: some frames of a segment, read at once and checked once. Entries
//! are borrowed from the chunk.
//!
//! What is in the page cache is read and checked on the spot, a quarter of a megabyte at a time: it
//! is still in the processor's cache when it is shown, and waking another thread would take longer. What is on the
//! disk is read where the engine has its blocking work done, in larger chunks; while one is shown the next is
//! read ahead.

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

/// The first read of a replay that has just begun or had caught up. Each one is twice as long as the
/// one before.
const FIRST_READ_BYTES: usize = 16 << 10;
/// The longest read from the page cache: it stays in the processor's own cache.
const CACHED_READ_BYTES: usize = 256 << 10;
/// The longest read from the disk.
const DISK_READ_BYTES: usize = 1 << 20;
/// How much is read and checked on the spot before other tasks get their turn. A longer frame is read
/// elsewhere.
const SPOT_BYTES: usize = 1 << 20;
/// So many chunks in a row are read from the disk, then the page cache is asked again.
const DISK_READS: u32 = 16;

/// A reader of a log, made by [`Wal::replay`](crate::Wal::replay). It shows only what is durable.
///
/// It keeps its place: when it has caught up, [`next`](Self::next) returns `None`, and goes on from
/// there when it is called after more entries have become durable.
///
/// It takes two megabytes of memory at most, or twice the longest frame if that is more.
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
    /// How many more chunks are read ahead from the disk.
    disk_reads: u32,
    /// What has been read on the spot since other tasks had their turn.
    spot_bytes: usize,
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
            read_bytes: FIRST_READ_BYTES,
            disk_reads: 0,
            spot_bytes: 0,
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
            // A trim while we read may take the segment away under us.
            let read = self.next_chunk().await;
            if !read.map_err(|error| self.trimmed().unwrap_or(error))? {
                return Ok(false);
            }
        }
    }

    /// Reads the next chunk, or finds out what has become of it; `false` if none is durable yet.
    async fn next_chunk(&mut self) -> Result<bool> {
        if self.reading.is_none() {
            let Some(search) = self.search() else {
                self.read_bytes = FIRST_READ_BYTES;
                return Ok(false);
            };
            let search = match self.engine() {
                // The worker itself waits for the disk.
                Engine::Inline => {
                    let (chunk, position) = search.run()?;
                    self.show(chunk, position);
                    return Ok(true);
                }
                _ => match search.run_cached(SPOT_BYTES as u64)? {
                    Ok((chunk, position)) => {
                        self.show(chunk, position);
                        self.let_others_go_on().await;
                        return Ok(true);
                    }
                    Err(search) => search,
                },
            };
            self.disk_reads = DISK_READS;
            self.begin_read(search, false);
        }
        self.finish_read().await?;
        Ok(true)
    }

    /// A task whose reads never wait yields now and then.
    async fn let_others_go_on(&mut self) {
        self.spot_bytes += self.read_bytes;
        if self.spot_bytes >= SPOT_BYTES {
            self.spot_bytes = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Goes to the beginning of a chunk.
    fn show(&mut self, chunk: Chunk, position: Position) {
        self.position = Some(position);
        self.spare = std::mem::replace(&mut self.chunk, chunk);
    }

    fn trimmed(&self) -> Option<Error> {
        let (requested, oldest) = (self.next_seq, self.group.trim_seq());
        (requested < oldest).then(|| Error::new(Kind::Trimmed { requested, oldest }))
    }

    fn engine(&self) -> &Engine {
        self.group.host().engine()
    }

    /// The search for the next chunk, unless no entry of it is durable yet.
    fn search(&mut self) -> Option<Search> {
        let from = self.position.as_ref().map_or(self.next_seq, |p| p.next_seq);
        let from = from.max(self.next_seq);
        let durable_seq = self.group.durable_seq();
        if from >= durable_seq {
            return None;
        }
        let longest = match self.disk_reads {
            0 => CACHED_READ_BYTES,
            _ => DISK_READ_BYTES,
        };
        let read_bytes = self.read_bytes.min(longest);
        self.read_bytes = (2 * read_bytes).min(longest);
        Some(Search {
            catalog: self.catalog.clone(),
            position: self.position.take(),
            from,
            durable_seq,
            memory: std::mem::take(&mut self.spare),
            read_bytes,
        })
    }

    /// Begins to read from the disk.
    fn begin_read(&mut self, search: Search, is_ahead: bool) {
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
    }

    /// Waits for the chunk that is being read from the disk, and begins to read ahead.
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
        self.show(chunk, position);
        self.disk_reads = self.disk_reads.saturating_sub(1);
        if self.disk_reads > 0
            && let Some(search) = self.search()
        {
            self.begin_read(search, true);
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
