//! Requests that are answered later, on threads of their own.
//!
//! A thread that serves requests must not wait for another request: a sync that waits until mapped pages
//! are written back would wait for itself. And a write whose answer is held back lets another request pass
//! it, as on a disk that works on several at once: so it shows if a sync does not wait for its write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{ReplyEmpty, ReplyWrite};

use super::answers;
use super::shared::Shared;
use super::writes::Write;
use crate::sim::Ino;

/// A write is held back for so long: longer than a ring takes to ask for what comes next.
const HELD: Duration = Duration::from_micros(400);
/// One write in so many is held back. A prime number: what a store does again and again has another length.
const HELD_EVERY: u32 = 23;
/// The same where nothing passes those that are held, as in a program that does one thing after the other.
const HELD_RARELY: u32 = 97;
/// So many that nothing has passed make them rare.
const IN_VAIN: u32 = 8;

/// Which writes are held back.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// The number of writes that wait.
    waiting: AtomicUsize,
    /// Writes that were not held since the last one that was.
    since: AtomicU32,
    /// Those at the end of all that were held which nothing has passed.
    in_vain: AtomicU32,
    is_passed: AtomicBool,
}

impl Holding {
    /// A request has come: it passes the writes that wait.
    pub(super) fn passed(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.is_passed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether this write waits.
    pub(super) fn takes(&self, write: Write) -> bool {
        // A page that is written back keeps others waiting. But it is not older than a write before it.
        if write.is_page {
            return self.waiting.load(Ordering::Acquire) > 0;
        }
        self.passed();
        let every = match self.in_vain.load(Ordering::Relaxed) {
            ..IN_VAIN => HELD_EVERY,
            _ => HELD_RARELY,
        };
        let is_due = self.since.fetch_add(1, Ordering::Relaxed) + 1 >= every;
        if is_due {
            self.since.store(0, Ordering::Relaxed);
        }
        is_due
    }

    fn begin(&self) {
        self.waiting.fetch_add(1, Ordering::Release);
    }

    fn end(&self, is_page: bool) {
        self.waiting.fetch_sub(1, Ordering::Release);
        let is_passed = self.is_passed.swap(false, Ordering::Relaxed);
        if is_passed {
            self.in_vain.store(0, Ordering::Relaxed);
        } else if !is_page {
            self.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A write that waits.
#[derive(Debug)]
pub(super) struct Held {
    until: Instant,
    write: Write,
    bytes: Vec<u8>,
    reply: ReplyWrite,
}

/// A sync that waits for mapped pages.
#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) ino: Ino,
    pub(super) data_only: bool,
    pub(super) reply: ReplyEmpty,
}

/// Asks for mapped pages to be written back, and is told when they are.
pub(crate) type WriteBacks = Sender<Sender<io::Result<()>>>;

/// The threads that answer later. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Later {
    held: Worker<Held>,
    pub(super) holding: Arc<Holding>,
    syncing: Worker<Syncing>,
}

/// A thread that does one thing after the other.
#[derive(Debug)]
struct Worker<T> {
    /// `None`: it is to end.
    to: Option<Sender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(name: &str, work: impl Fn(T) + Send + 'static) -> io::Result<Self> {
        let (to, from) = mpsc::channel();
        let named = thread::Builder::new().name(format!("plugpull-{name}"));
        let thread = named.spawn(move || from.into_iter().for_each(work))?;
        Ok(Self {
            to: Some(to),
            thread: Some(thread),
        })
    }
}

impl<T> Worker<T> {
    fn send(&self, work: T) {
        let to = self.to.as_ref().expect("it is not to end yet");
        assert!(to.send(work).is_ok(), "the thread ends after this");
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        drop(self.to.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with has been printed.
            thread.join().ok();
        }
    }
}

impl Later {
    /// Call it in a thread that has the descriptor of FUSE: answers go through it.
    pub(super) fn start(shared: &Arc<Shared>, write_backs: WriteBacks) -> io::Result<Self> {
        let written = Arc::clone(shared);
        let holding = Arc::new(Holding::default());
        let told = Arc::clone(&holding);
        let held = Worker::start("held-writes", move |held: Held| {
            held.write(&written, &told);
        })?;
        let shared = Arc::clone(shared);
        let sync = move |syncing: Syncing| syncing.sync(&shared, &write_backs);
        let syncing = Worker::start("syncs", sync)?;
        Ok(Self {
            held,
            holding,
            syncing,
        })
    }

    /// Carries a write out behind those that wait; a call waits itself.
    pub(super) fn hold(&self, write: Write, bytes: &[u8], reply: ReplyWrite) {
        let wait = if write.is_page { Duration::ZERO } else { HELD };
        self.holding.begin();
        let held = Held {
            until: Instant::now() + wait,
            write,
            bytes: bytes.to_vec(),
            reply,
        };
        self.held.send(held);
    }

    pub(super) fn sync(&self, syncing: Syncing) {
        self.syncing.send(syncing);
    }
}

impl Held {
    fn write(self, shared: &Shared, holding: &Holding) {
        thread::sleep(self.until.saturating_duration_since(Instant::now()));
        let done = shared.change(|live| live.carry_out(self.write, &self.bytes));
        holding.end(self.write.is_page);
        answers::written(done, self.reply);
    }
}

impl Syncing {
    fn sync(self, shared: &Shared, write_backs: &WriteBacks) {
        let (done, told) = mpsc::channel();
        let ended = |_| io::Error::other("the thread that writes mapped pages back has ended");
        let written_back = write_backs
            .send(done)
            .map_err(|_| ended(mpsc::RecvError))
            .and_then(|()| told.recv().map_err(ended))
            .and_then(|written_back| written_back);
        let done = shared.change(|live| match written_back {
            Ok(()) => live.sync_once(self.ino, self.data_only),
            Err(error) => Err(live.refuse(error)),
        });
        answers::empty(done, self.reply);
    }
}

/// Writes mapped pages back for those that ask, until all of them are gone.
pub(crate) fn write_back_for(asked: &Receiver<Sender<io::Result<()>>>, shared: &Shared) {
    for done in asked {
        // It has not waited if it is gone.
        done.send(shared.write_back()).ok();
    }
}

#[cfg(test)]
mod tests {
    use fuser::{INodeNo, OpenFlags, WriteFlags};

    use super::*;

    fn write(flags: WriteFlags) -> Write {
        Write::new(INodeNo(1), 0, flags, OpenFlags(0))
    }

    /// How many writes it takes until one is held, which nothing or something passes.
    fn writes_until_held(holding: &Holding, passes: bool) -> u32 {
        let mut writes = 1;
        while !holding.takes(write(WriteFlags::empty())) {
            writes += 1;
        }
        holding.begin();
        if passes {
            holding.passed();
        }
        holding.end(false);
        writes
    }

    #[test]
    fn writes_that_nothing_passes_are_held_rarely() {
        let holding = Holding::default();
        for _ in 0..IN_VAIN {
            assert_eq!(writes_until_held(&holding, false), HELD_EVERY);
        }
        assert_eq!(writes_until_held(&holding, false), HELD_RARELY);
        assert_eq!(writes_until_held(&holding, true), HELD_RARELY);
        assert_eq!(writes_until_held(&holding, false), HELD_EVERY);
    }

    #[test]
    fn a_page_waits_behind_a_write_that_is_held() {
        let holding = Holding::default();
        let page = write(WriteFlags::FUSE_WRITE_CACHE);
        assert!(!holding.takes(page));
        holding.begin();
        assert!(holding.takes(page));
        holding.end(false);
        assert!(!holding.takes(page));
    }
}
