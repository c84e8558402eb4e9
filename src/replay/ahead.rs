//! Chunks that are read ahead, one after another, where the engine has its blocking work done.
//!
//! A job reads chunks into a queue, as long as there is room, and not too many: its thread may be
//! the only one that there is. Whoever shows chunks takes them out, and has the next job begun when half of
//! the room is free. So there is a chunk for a reader that is slower than the disk; one that is faster is not
//! woken for each.
//!
//! What fails in a job that nobody waited for when it began is not told: it is read again when it is
//! wanted.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::chunk::{Chunk, Position, Search};
use crate::catalog::Catalog;
use crate::cursor::Check;
use crate::engine::Engine;
use crate::error::Result;
use crate::sync::{Arc, Mutex, lock};

/// How much is read at once: it stays in the processor's own cache until it has been checked.
const READ_BYTES: usize = 256 << 10;
/// When so much memory is in use, a job ends.
const ROOM_BYTES: usize = 4 << 20;
/// So much has to be there before a reader is woken while a job goes on: to wake a thread of an idle
/// processor costs more than to read a chunk.
const WAKE_BYTES: usize = 1 << 20;
/// How many chunks a job reads at most. The first one reads one, each later one twice as many as the
/// one before.
const CHUNKS_MAX: usize = 16;

/// What follows the chunk that is shown.
#[derive(Default)]
pub(super) struct Ahead {
    queue: Arc<Mutex<Queue>>,
    job: Option<Job>,
    /// How many chunks the last job was to read.
    chunks: usize,
}

/// Shared with the job.
#[derive(Default)]
struct Queue {
    /// Each with its end.
    chunks: VecDeque<(Chunk, Position)>,
    /// Memory of chunks that were shown.
    spares: Vec<Chunk>,
    /// Woken when there is a chunk.
    waiting: Option<Waker>,
    /// Nobody wants chunks any more.
    is_closed: bool,
}

struct Job {
    /// The lock is never taken: it makes a replay `Sync`, as all else in it is.
    work: Mutex<Work>,
    /// Somebody waits for it, so its failure is told.
    is_wanted: bool,
}

/// The outer result says whether it was done at all.
type Work = Pin<Box<dyn Future<Output = Result<Result<()>>> + Send>>;

impl Job {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let work = self.work.get_mut().expect("the lock is never taken");
        let done = std::task::ready!(work.as_mut().poll(cx)).flatten();
        Poll::Ready(if self.is_wanted { done } else { Ok(()) })
    }
}

impl Queue {
    /// How much memory the chunks take that wait.
    fn bytes(&self) -> usize {
        let chunks = self.chunks.iter();
        chunks.map(|(chunk, _)| chunk.memory_bytes()).sum()
    }
}

impl Ahead {
    /// The next chunk and its end, when it is there; `None` if nothing is read ahead.
    ///
    /// # Errors
    /// If the job has failed, and somebody waited for it when it was begun.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<(Chunk, Position)>> {
        poll_fn(|cx| {
            loop {
                let mut queue = lock(&self.queue);
                if let Some(chunk) = queue.chunks.pop_front() {
                    return Poll::Ready(Ok(Some(chunk)));
                }
                let Some(job) = &mut self.job else {
                    return Poll::Ready(Ok(None));
                };
                queue.waiting = Some(cx.waker().clone());
                drop(queue);
                let done = std::task::ready!(job.poll(cx));
                self.job = None;
                done?;
                // What it brought was there before it ended.
            }
        })
        .await
    }

    /// How many bytes the next chunk has taken, if it is there already.
    pub(super) fn next_bytes(&self) -> usize {
        let queue = lock(&self.queue);
        let next = queue.chunks.front();
        next.map_or(0, |(chunk, _)| chunk.memory_bytes())
    }

    /// Takes back the memory of a chunk that has been shown.
    pub(super) fn reuse(&mut self, mut chunk: Chunk) {
        chunk.forget();
        let mut queue = lock(&self.queue);
        let spare: usize = queue.spares.iter().map(Chunk::memory_bytes).sum();
        if queue.bytes() + spare + chunk.memory_bytes() <= ROOM_BYTES {
            queue.spares.push(chunk);
        }
    }

    /// Memory for a chunk, with nothing in it.
    pub(super) fn memory(&mut self) -> Chunk {
        lock(&self.queue).spares.pop().unwrap_or_default()
    }

    /// Whoever reads has caught up, and need not want much when it goes on.
    pub(super) fn calm_down(&mut self) {
        self.chunks = 0;
    }

    /// Where to go on reading, if it is time for that: behind the last chunk that is there, or at `end`,
    /// where the one at hand ends.
    pub(super) fn due(&mut self, end: &Position) -> Option<Position> {
        if let Some(job) = &mut self.job {
            // A reader that waits for it later has it wake that one.
            let mut cx = Context::from_waker(Waker::noop());
            if job.poll(&mut cx).is_pending() {
                return None;
            }
            self.job = None;
        }
        let queue = lock(&self.queue);
        let last = queue.chunks.back();
        (queue.bytes() <= ROOM_BYTES / 2).then(|| last.map_or(end, |(_, end)| end).clone())
    }

    /// Has chunks read from the beginning of this search on. No job may be under way.
    pub(super) fn begin(&mut self, engine: &Arc<dyn Engine>, search: Search, is_wanted: bool) {
        let chunks = (2 * self.chunks).clamp(1, CHUNKS_MAX);
        self.chunks = chunks;
        let queue = self.queue.clone();
        let engine = Arc::clone(engine);
        let work = async move { engine.run(move || read(&queue, search, chunks)).await };
        let mut job = Job {
            work: Mutex::new(Box::pin(work)),
            is_wanted,
        };
        // The first poll hands the work over.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = job.poll(&mut cx) {
            job.work = Mutex::new(Box::pin(std::future::ready(done.map(Ok))));
        }
        self.job = Some(job);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        lock(&self.queue).is_closed = true;
    }
}

/// The job: reads up to `count` chunks of what was durable when it was begun.
fn read(queue: &Mutex<Queue>, mut search: Search, count: usize) -> Result<()> {
    for read in 1.. {
        let (catalog, durable_seq) = (search.catalog.clone(), search.durable_seq);
        let (chunk, end) = match search.run() {
            Ok(found) => found,
            // Of the first one it may be what somebody waits for.
            Err(error) if read == 1 => return Err(error),
            Err(_) => break,
        };
        let is_last = read == count || end.next_seq >= durable_seq;
        let next = end.clone();
        let (waiting, has_room, memory);
        {
            let mut queue = lock(queue);
            if queue.is_closed {
                break;
            }
            memory = queue.spares.pop().unwrap_or_default();
            queue.chunks.push_back((chunk, end));
            let bytes = queue.bytes();
            waiting = queue.waiting.take_if(|_| bytes >= WAKE_BYTES);
            has_room = bytes < ROOM_BYTES;
        }
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        if is_last || !has_room {
            break;
        }
        search = Search {
            memory,
            ..Search::behind(catalog, next, durable_seq)
        };
    }
    Ok(())
}

impl Search {
    /// For the chunk that follows a place.
    pub(super) fn behind(catalog: Arc<Catalog>, place: Position, durable_seq: u64) -> Self {
        Self {
            catalog,
            from: place.next_seq,
            position: Some(place),
            durable_seq,
            memory: Chunk::default(),
            read_bytes: READ_BYTES,
            check: Check::ButChecksum,
        }
    }
}
