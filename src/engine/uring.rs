//! A request to `io_uring` for each group: no thread waits for the disk.
//!
//! The leader hands the group to the kernel in its own poll. A *reaper*, a task that is no member,
//! waits for the ring's descriptor on Tokio's reactor, ends the flush and begins the next. Every
//! runtime on which members wait has a reaper of its own, so that none depends on another being
//! driven; whichever hears first of the completion reaps it.
//!
//! Whatever may block goes to the blocking pool: a rotation for which no segment is ready, the
//! roll-back of a failed write, and everything on a file without a descriptor.
//!
//! # Who owns the memory that the kernel reads
//!
//! ```text
//! Ring ── Flight ── Flush ── buffer     the kernel reads the buffer
//!  ▲                  └──── group ── Writer ── Engine ┐
//!  └──────────────────────────────────────────────────┘
//! ```
//!
//! A flight stands in the ring's own state and is taken out only when its request has completed.
//! It holds the log, and the log the ring: while a request is in flight all of it stays, whoever is
//! dropped. A reaper that is dropped, as by a runtime that shuts down, waits for the request and ends
//! the flush. If nobody ever does, all of it is leaked, memory and lock: nothing is freed that the
//! kernel may still read.

mod progress;
mod ring;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use io_uring::{IoUring, opcode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};
use tokio::task::{AbortHandle, yield_now};

use self::progress::{Progress, Verdict};
use self::ring::{Flight, Ring};
use super::blocking::Blocking;
use super::workers::Workers;
use super::writer::{Engine, Flush, Next, Writer};
use crate::group::Lead;
use crate::log::{Failure, Place};
use crate::metrics::Stopwatch;
use crate::sync::{Arc, Mutex, RwLock, lock, read, write};
use crate::timer::is_paused;

/// One request is in flight at a time.
const ENTRIES: u32 = 2;
/// Who waits for a completion on a thread of its own looks again so often.
const LOOK_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// A log's ring.
pub(super) struct Uring(Arc<Shared>);

/// What reapers hold. It does not hold the log, unless a flight is on its way.
struct Shared {
    ring: Mutex<Ring>,
    /// Whatever does not go into the ring.
    blocking: Blocking,
    /// The runtimes on which members have waited.
    watches: RwLock<Vec<Watch>>,
}

/// A runtime that knows the ring.
struct Watch {
    runtime: Id,
    reaper: Reaping,
}

enum Reaping {
    /// Its reaper is being started.
    Soon,
    Reaper(AbortHandle),
    /// It has shut down.
    Never,
}

impl Uring {
    pub(super) fn new(blocking: Blocking) -> io::Result<Self> {
        let ring = IoUring::new(ENTRIES)?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Write::CODE, opcode::Fsync::CODE];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            let reason = "the kernel's io_uring cannot write files (it is older than 5.6)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        Ok(Self(Arc::new(Shared {
            ring: Mutex::new(Ring {
                io: ring,
                flight: None,
                is_broken: false,
            }),
            blocking,
            watches: RwLock::new(Vec::new()),
        })))
    }
}

impl Engine for Uring {
    fn lead(&self, mut flush: Flush) {
        // A paused clock stands still for blocking work only.
        let is_heard = self.0.attend() && !is_paused() && !lock(&self.0.ring).is_broken;
        let begun = is_heard.then(|| {
            let group = Arc::clone(flush.group());
            group.host().begin_at_once(&mut flush)
        });
        match begun.flatten() {
            Some(Ok(place)) => self.0.begin(flush, place),
            Some(Err(error)) => drop(Writer::finish(flush, Err(error), false)),
            None => self.0.blocking.lead(flush),
        }
    }

    fn workers(&self) -> Option<&Workers> {
        self.0.blocking.workers()
    }

    fn needs_no_thread(&self) -> bool {
        true
    }

    fn attend(&self) {
        self.0.attend();
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // The log is gone, and nothing is in flight: it would hold the log.
        for watch in write(&self.0.watches).drain(..) {
            if let Reaping::Reaper(reaper) = watch.reaper {
                reaper.abort();
            }
        }
    }
}

/// A runtime whose reaper is being started. Dropped, as by the panic of a runtime without an I/O driver, it
/// leaves no trace of it: nothing would ever reap there.
struct Soon<'a>(&'a Shared, Id);

impl Drop for Soon<'_> {
    fn drop(&mut self) {
        let Self(shared, runtime) = self;
        write(&shared.watches).retain(|watch| watch.runtime != *runtime);
    }
}

impl Shared {
    /// Sees to it that the current runtime hears of completions. Tells whether it does.
    fn attend(self: &Arc<Self>) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let id = runtime.id();
        let known = |watches: &[Watch]| {
            let watch = watches.iter().find(|watch| watch.runtime == id);
            watch.map(|watch| !matches!(watch.reaper, Reaping::Never))
        };
        if let Some(heard) = known(&read(&self.watches)) {
            return heard;
        }
        {
            let mut watches = write(&self.watches);
            if let Some(heard) = known(&watches) {
                return heard;
            }
            watches.push(Watch {
                runtime: id,
                reaper: Reaping::Soon,
            });
        }
        let soon = Soon(self, id);
        // Outside the lock: a runtime that has shut down drops the reaper at once.
        let reaper = Reaper::new(Arc::clone(self), id).map(|reaper| runtime.spawn(reaper.reap()));
        std::mem::forget(soon);
        let mut watches = write(&self.watches);
        let watch = watches.iter_mut().find(|watch| watch.runtime == id);
        match (watch, reaper) {
            (Some(watch), Some(reaper)) => {
                watch.reaper = Reaping::Reaper(reaper.abort_handle());
                true
            }
            (Some(watch), None) => {
                watch.reaper = Reaping::Never;
                drop(watches);
                // Somebody may have relied on it in the meantime.
                self.wait_out();
                false
            }
            // It has ended already, with its runtime.
            (None, _) => false,
        }
    }

    /// Hands a group to the kernel.
    fn begin(&self, mut flush: Flush, place: Place) {
        let raw = place.raw();
        let len = flush.taken.buffer.bytes().len();
        let progress = raw.map(|raw| Progress::new(len, raw.can_sync_writes()));
        let watch = Stopwatch::start();
        let Some(progress) = progress else {
            return self.write_elsewhere(flush, place);
        };
        flush.begin();
        let mut ring = lock(&self.ring);
        debug_assert!(ring.flight.is_none(), "one flush at a time");
        ring.flight = Some(Flight {
            flush,
            place,
            progress,
            watch,
        });
        if let Some(flight) = ring.submit() {
            drop(ring);
            self.write_elsewhere(flight.flush, flight.place);
        }
    }

    /// Writes a group, from its beginning, on the blocking pool.
    fn write_elsewhere(&self, mut flush: Flush, place: Place) {
        self.blocking.hand_over(move || {
            flush.begin();
            let group = Arc::clone(flush.group());
            let written = group.host().write_at(&place, &flush);
            drop((group, place));
            go_on(Writer::finish(flush, written, true));
        });
    }

    /// Takes note of a completion, if there is one, and begins what it asks for.
    fn reap(&self) -> Reaped {
        let mut ring = lock(&self.ring);
        let Some(result) = ring.io.completion().next().map(|entry| entry.result()) else {
            return match ring.flight {
                Some(_) => Reaped::InFlight,
                None => Reaped::Nothing,
            };
        };
        let flight = ring
            .flight
            .as_mut()
            .expect("only a flight asks for anything");
        let ended = match flight.progress.absorb(result) {
            Verdict::Submit => match ring.submit() {
                None => return Reaped::InFlight,
                Some(flight) => return Reaped::Refused(flight),
            },
            Verdict::Durable => Ok(()),
            Verdict::Failed(failure) => Err(failure),
            Verdict::Elsewhere => {
                let flight = ring.flight.take().expect("it is there");
                return Reaped::Refused(flight);
            }
        };
        let flight = ring.flight.take().expect("it is there");
        Reaped::Ended(flight, ended)
    }

    /// Ends what is in flight, waiting for it.
    fn wait_out(&self) {
        loop {
            match self.reap() {
                Reaped::Nothing => return,
                Reaped::InFlight => {
                    let descriptor = lock(&self.ring).io.as_raw_fd();
                    // SAFETY: the ring is open for as long as `self` is there.
                    #[expect(unsafe_code, reason = "the ring's descriptor comes as a number")]
                    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
                    let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
                    // Somebody else may take note of the completion between the look and this: the reaper of
                    // another runtime, or one that this runtime drops while it shuts down. Then the ring
                    // never becomes readable. So the wait is short, and one looks again; also if it was
                    // interrupted, or out of memory.
                    if poll(&mut fds, Some(&LOOK_AGAIN)).is_err() {
                        std::thread::yield_now();
                    }
                }
                Reaped::Refused(flight) => self.write_elsewhere(flight.flush, flight.place),
                Reaped::Ended(flight, ended) => drop(flight.finish(ended, false)),
            }
        }
    }
}

/// What came of looking for a completion.
enum Reaped {
    Nothing,
    InFlight,
    /// The flight is over.
    Ended(Flight, Result<(), Failure>),
    /// It is not, but the kernel does not carry its request out.
    Refused(Flight),
}

/// What follows a group, without waiting for company.
fn go_on(next: Next) {
    let flush = match next {
        Next::Nothing => None,
        Next::Group(flush) => Some(flush),
        Next::Turn(turn) => turn.take(),
    };
    lead(flush);
}

fn lead(flush: Option<Flush>) {
    if let Some(flush) = flush {
        let group = Arc::clone(flush.group());
        group.host().lead(flush);
    }
}

/// Reaps completions on one runtime. Dropped, it waits for what is in flight.
struct Reaper {
    ready: AsyncFd<RingFd>,
    // Dropped after the registration.
    watch: Watching,
}

/// The ring's descriptor, and the ring.
struct RingFd(
    RawFd,
    #[expect(dead_code, reason = "keeps it open")] Arc<Shared>,
);

impl AsRawFd for RingFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// This runtime's place among the watches.
struct Watching {
    shared: Arc<Shared>,
    runtime: Id,
}

impl Drop for Watching {
    fn drop(&mut self) {
        write(&self.shared.watches).retain(|watch| watch.runtime != self.runtime);
        self.shared.wait_out();
    }
}

impl Reaper {
    /// `None` if the current runtime has no reactor any more.
    ///
    /// # Panics
    /// If it never had one: Tokio has no way to ask.
    fn new(shared: Arc<Shared>, runtime: Id) -> Option<Self> {
        let fd = RingFd(lock(&shared.ring).io.as_raw_fd(), Arc::clone(&shared));
        // SAFETY: it is the ring's descriptor, always the same, and the ring is open for as long as
        // the `RingFd` is there.
        #[expect(unsafe_code, reason = "the ring's descriptor comes as a number")]
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        match registered {
            Ok(ready) => Some(Self {
                ready,
                watch: Watching { shared, runtime },
            }),
            Err(error) => {
                tracing::warn!(%error, "cannot wait for io_uring on this runtime");
                None
            }
        }
    }

    async fn reap(self) {
        let shared = &self.watch.shared;
        // An error means that the runtime is shutting down.
        while let Ok(mut guard) = self.ready.readable().await {
            // Before looking: what completes from now on makes it ready again.
            guard.clear_ready();
            loop {
                match shared.reap() {
                    Reaped::Nothing | Reaped::InFlight => break,
                    Reaped::Refused(flight) => {
                        shared.write_elsewhere(flight.flush, flight.place);
                    }
                    // Rolling back is I/O.
                    Reaped::Ended(flight, Err(failure @ Failure::Write(_))) => {
                        let finish = move || go_on(flight.finish(Err(failure), true));
                        shared.blocking.hand_over(finish);
                    }
                    Reaped::Ended(flight, ended) => match flight.finish(ended, true) {
                        Next::Nothing => {}
                        Next::Group(flush) => lead(Some(flush)),
                        Next::Turn(turn) => {
                            // The members just woken are polled, and join.
                            yield_now().await;
                            lead(turn.take());
                        }
                    },
                }
            }
        }
    }
}
