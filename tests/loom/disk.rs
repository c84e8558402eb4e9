//! A disk of numbers that checks what is written to it, and what is acknowledged.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::thread::{self, ThreadId};

use crate::fragile::Fragile;
use crate::group::{Ask, Flush, Host, Lead, Next, Outcome, Turn};
use crate::sync::{Mutex, lock};

pub(crate) const BROKEN: &str = "the sync failed";
pub(crate) const FULL: &str = "no space left";
pub(crate) const DISPLACED: &str = "the directory is another log's";
pub(crate) const PANICKED: &str = "the flush panicked";
pub(crate) const UNRUN: &str = "the flush was never run";

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Durable,
    /// The write is rolled back.
    Full,
    /// The same, but the trim position has been written.
    OnlyTrim,
    /// Nothing is written, and nothing will be: the directory is another log's.
    Displaced,
    /// The sync fails: some of it may be there.
    Broken,
}

/// A log of one number an entry, with the checks that a disk can make.
#[derive(Default)]
pub(crate) struct Disk {
    medium: Mutex<Medium>,
    /// The next flush is held back for the model to run, drop or delay.
    hold: AtomicBool,
    held: Mutex<Option<Job>>,
    /// Every thread is a runtime of its own.
    apart: bool,
    /// Flushes run on threads of their own, each for a busy period.
    threads: bool,
}

#[derive(Default)]
struct Medium {
    entries: Vec<u32>,
    /// How many of them survive a crash.
    durable: usize,
    /// Where each group begins.
    groups: Vec<usize>,
    trim_seq: u64,
    /// How the next writes end; all later ones succeed.
    fates: VecDeque<Fate>,
    busy: bool,
    broken: bool,
    sealed: bool,
}

impl Disk {
    /// Every thread is a runtime of its own.
    pub(crate) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Every busy period has a thread of its own.
    pub(crate) fn threaded(mut self) -> Self {
        self.threads = true;
        self
    }

    /// The first writes end like this.
    pub(crate) fn fated(self, fates: &[Fate]) -> Self {
        lock(&self.medium).fates.extend(fates);
        self
    }

    /// The next flush is not run, but held.
    pub(crate) fn hold_next(&self) {
        self.hold.store(true, Ordering::Relaxed);
    }

    /// The flush that was held.
    pub(crate) fn held(&self) -> Job {
        lock(&self.held).take().expect("somebody leads")
    }

    /// Writes and syncs a group, in two steps for others to come between.
    fn write(&self, flush: &mut Flush<Self>) -> Outcome<&'static str> {
        flush.begin();
        let start = {
            let mut medium = lock(&self.medium);
            assert!(!medium.busy, "two flushes at once");
            assert!(!medium.sealed, "a group behind the seal");
            assert!(!medium.broken, "a group behind a failed sync");
            let start = medium.entries.len();
            assert_eq!(flush.taken.first_seq, start as u64, "a gap in the numbers");
            assert_eq!(
                flush.taken.entries as usize,
                flush.taken.buffer.len(),
                "a wrong count"
            );
            medium.busy = true;
            medium.groups.push(start);
            medium.entries.append(&mut flush.taken.buffer);
            start
        };
        let mut medium = lock(&self.medium);
        medium.busy = false;
        match medium.fates.pop_front() {
            None | Some(Fate::Durable) => {
                medium.trim_seq = flush.taken.trim_seq;
                medium.durable = medium.entries.len();
                medium.sealed = flush.taken.seal;
                Outcome::Durable
            }
            Some(fate @ (Fate::Full | Fate::OnlyTrim | Fate::Displaced)) => {
                medium.entries.truncate(start);
                medium.groups.pop();
                match fate {
                    Fate::OnlyTrim => {
                        medium.trim_seq = flush.taken.trim_seq;
                        Outcome::OnlyTrim(FULL)
                    }
                    Fate::Displaced => {
                        medium.broken = true;
                        Outcome::Stopped(DISPLACED)
                    }
                    _ => Outcome::NotWritten(FULL),
                }
            }
            Some(Fate::Broken) => {
                medium.broken = true;
                Outcome::Unknown(BROKEN)
            }
        }
    }

    /// The groups that reached the disk.
    pub(crate) fn groups(&self) -> Vec<Vec<u32>> {
        let medium = lock(&self.medium);
        let ends = medium.groups.iter().skip(1).copied();
        let ends = ends.chain([medium.entries.len()]);
        let ranges = medium.groups.iter().zip(ends);
        ranges
            .map(|(&start, end)| medium.entries[start..end].to_vec())
            .collect()
    }

    /// All entries that reached the disk, in its order.
    pub(crate) fn entries(&self) -> Vec<u32> {
        lock(&self.medium).entries.clone()
    }

    pub(crate) fn sealed(&self) -> bool {
        lock(&self.medium).sealed
    }

    /// An acknowledgement is a promise: these entries are there, and durable.
    pub(crate) fn keep_word(&self, first: u64, entries: &[u32], ask: Ask) {
        let medium = lock(&self.medium);
        match ask {
            Ask::Trim(seq) => assert!(medium.trim_seq >= seq, "trimmed early"),
            Ask::Seal => assert!(medium.sealed, "no seal"),
            Ask::Entries | Ask::Barrier => {}
        }
        let first = usize::try_from(first).expect("few entries");
        let range = first..first + entries.len();
        assert!(
            range.end <= medium.durable,
            "{entries:?} acknowledged early"
        );
        assert_eq!(&medium.entries[range], entries, "somebody else's number");
    }
}

impl Host for Disk {
    type Buffer = Vec<u32>;
    type Error = &'static str;
    type Deadline = u32;
    type Home = Option<ThreadId>;

    fn home(&self) -> Self::Home {
        self.apart.then(|| thread::current().id())
    }

    fn lost(&self, begun: bool) -> &'static str {
        if begun { PANICKED } else { UNRUN }
    }
}

impl Lead for Disk {
    fn lead(&self, flush: Flush<Self>) {
        let job = Job::new(flush);
        if self.hold.swap(false, Ordering::Relaxed) {
            let before = lock(&self.held).replace(job);
            assert!(before.is_none(), "two flushes at once");
        } else if self.threads {
            thread::spawn(move || job.run_on());
        } else {
            job.run_alone();
        }
    }
}

/// A flush in a model's hands.
pub(crate) struct Job(Fragile<Flush<Disk>>);

impl Job {
    fn new(flush: Flush<Disk>) -> Self {
        Self(Fragile::new(flush))
    }

    /// Says that the disk is about to be touched.
    pub(crate) fn begin(&mut self) {
        self.0.get().begin();
    }

    /// Writes one group; returns the next if the flush goes on with it. If it may wait for company
    /// it does, for as long as it takes others to come between.
    pub(crate) fn write(self, go_on: bool) -> Option<Self> {
        match self.write_and_hold(go_on) {
            Next::Nothing => None,
            Next::Group(flush) => Some(Self::new(flush)),
            Next::Turn(turn) => Self::take(turn),
        }
    }

    /// Writes one group, and leaves what follows to the model.
    pub(crate) fn write_and_hold(mut self, go_on: bool) -> Next<Disk> {
        let group = self.0.get().group().clone();
        let outcome = group.host().write(self.0.get());
        drop(group);
        self.0.take().finish(outcome, go_on)
    }

    /// Writes one group with company, and keeps the turn.
    pub(crate) fn write_and_keep_turn(self) -> Turn<Disk> {
        match self.write_and_hold(true) {
            Next::Turn(turn) => turn,
            Next::Group(_) | Next::Nothing => panic!("it is worth waiting"),
        }
    }

    /// Ends a turn with the next group.
    pub(crate) fn take(turn: Turn<Disk>) -> Option<Self> {
        turn.take().map(Self::new)
    }

    /// Runs it and those that follow from it, as the engine does that has a thread for it.
    pub(crate) fn run_on(self) {
        let mut due = Some(self);
        while let Some(job) = due {
            due = job.write(true);
        }
    }

    /// Runs it alone, as the engine does that works in the leader's poll.
    pub(crate) fn run_alone(self) {
        let next = self.write(false);
        assert!(next.is_none(), "nobody asked for the next group");
    }
}
