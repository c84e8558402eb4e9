//! Members as tasks, and the clock that their timers read.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc as StdArc, Mutex as StdMutex};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::mpsc;

use crate::disk::Disk;
use crate::fragile::Fragile;
use crate::group::{Ask, Group, Member, Refusal, Room, Timer};
use crate::sync::{Arc, Mutex, lock};

pub(crate) type Answer = Result<u64, Refusal<&'static str>>;

type Encode = Box<dyn FnOnce(&mut Vec<u32>)>;

/// A member and whoever polls it. Entries are checked when they are acknowledged.
pub(crate) struct Task<'a> {
    member: Fragile<Member<'a, Disk, Alarm, Encode>>,
    signal: StdArc<Signal>,
    waker: Waker,
    /// Polled, and to be polled again only when woken.
    pending: bool,
    ask: Ask,
    entries: Vec<u32>,
    disk: &'a Disk,
}

impl<'a> Task<'a> {
    pub(crate) fn new(log: &'a Arc<Group<Disk>>, clock: &Clock, ask: Ask, entries: &[u32]) -> Self {
        let room = Room {
            bytes: entries.len(),
            entries: u32::try_from(entries.len()).expect("few entries"),
        };
        let timer = Alarm(clock.clone());
        let batch = entries.to_vec();
        let encode: Encode = Box::new(move |buffer| buffer.extend(batch));
        let signal = StdArc::new(Signal::new());
        Self {
            member: Fragile::new(Member::new(log, ask, room, timer, encode)),
            waker: Waker::from(signal.clone()),
            signal,
            pending: false,
            ask,
            entries: entries.to_vec(),
            disk: log.host(),
        }
    }

    /// Polls it for the first time; it has to wait.
    pub(crate) fn begun(mut self) -> Self {
        assert_eq!(self.poll(), Poll::Pending);
        self
    }

    /// Polls it, woken or not: a spurious poll, as by `select!`.
    pub(crate) fn poll(&mut self) -> Poll<Answer> {
        let mut cx = Context::from_waker(&self.waker);
        let answer = Pin::new(self.member.get()).poll(&mut cx);
        self.pending = answer.is_pending();
        if let Poll::Ready(Ok(first)) = answer {
            self.disk.keep_word(first, &self.entries, self.ask);
        }
        answer
    }

    /// Polls it once and drops it.
    pub(crate) fn abandon(mut self) {
        if let Poll::Ready(answer) = self.poll() {
            answer.expect("the disk is sound");
        }
    }

    /// Whether it is to be polled.
    pub(crate) fn woken(&mut self) -> bool {
        self.pending &= !self.signal.take();
        !self.pending
    }

    /// Moves it to another waker, as when a future moves to another task.
    pub(crate) fn move_on(&mut self) {
        self.signal = StdArc::new(Signal::new());
        self.waker = Waker::from(self.signal.clone());
    }

    /// Parks the thread until it is ready. Polled only when it is new or woken.
    pub(crate) fn wait(mut self) -> Answer {
        loop {
            if self.pending {
                self.signal.wait();
            }
            if let Poll::Ready(answer) = self.poll() {
                return answer;
            }
        }
    }
}

/// What a task's waker does: it unparks the one thread that waits for the task.
///
/// A channel, because it has no spurious wake-ups, as `loom::sync::Notify` does. Members are polled
/// spuriously where a model says so.
struct Signal {
    wakes: mpsc::Sender<()>,
    woken: StdMutex<Fragile<mpsc::Receiver<()>>>,
}

impl Signal {
    fn new() -> Self {
        let (wakes, woken) = mpsc::channel();
        let woken = StdMutex::new(Fragile::new(woken));
        Self { wakes, woken }
    }

    fn wait(&self) {
        self.woken.lock().unwrap().get().recv().unwrap();
        // However often it was woken: one poll is due.
        self.take();
    }

    fn take(&self) -> bool {
        let mut woken = self.woken.lock().unwrap();
        let mut any = false;
        while woken.get().try_recv().is_ok() {
            any = true;
        }
        any
    }
}

impl Wake for Signal {
    fn wake(self: StdArc<Self>) {
        self.wakes.send(()).unwrap();
    }
}

/// A clock that moves when the model says so.
#[derive(Clone, Default)]
pub(crate) struct Clock(StdArc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    now: u32,
    sleepers: Vec<(u32, Waker)>,
}

impl Clock {
    /// Lets all timers fire that have been armed so far.
    pub(crate) fn tick(&self) {
        self.advance(|now| now + 1);
    }

    /// Lets all timers fire, also those not yet armed.
    pub(crate) fn run_out(&self) {
        self.advance(|_| u32::MAX);
    }

    fn advance(&self, to: impl FnOnce(u32) -> u32) {
        let mut time = lock(&self.0);
        time.now = to(time.now);
        let now = time.now;
        let sleepers = mem::take(&mut time.sleepers);
        let (due, rest) = sleepers.into_iter().partition(|(at, _)| *at <= now);
        time.sleepers = rest;
        drop(time);
        let due: Vec<_> = due;
        for (_, waker) in due {
            waker.wake();
        }
    }
}

/// A member's timer: fires at the tick after the one at which its group began.
pub(crate) struct Alarm(Clock);

impl Timer<u32> for Alarm {
    fn deadline(&mut self) -> u32 {
        lock(&self.0.0).now.saturating_add(1)
    }

    fn poll(&mut self, deadline: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = lock(&self.0.0);
        if time.now >= deadline {
            return Poll::Ready(());
        }
        time.sleepers.push((deadline, cx.waker().clone()));
        Poll::Pending
    }
}
