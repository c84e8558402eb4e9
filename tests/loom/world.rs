//! What a model's scene is made of: a log with its disk and clock, threads, and members.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use loom::thread::{self, JoinHandle};

use crate::disk::{Disk, Fate, Job};
use crate::group::{Ask, Group, Limits, Pace, Refusal};
use crate::sync::Arc;
use crate::task::{Answer, Clock, Task};

/// Explores every interleaving.
pub(crate) fn exhaustive(scene: impl Fn() + Send + Sync + 'static) {
    explore(None, scene);
}

/// Explores every interleaving with no more preemptions than that.
pub(crate) fn preempted_at_most(times: usize, scene: impl Fn() + Send + Sync + 'static) {
    explore(Some(times), scene);
}

fn explore(preemptions: Option<usize>, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    let explored = StdArc::new(AtomicUsize::new(0));
    let count = explored.clone();
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    // Seen with `--nocapture`.
    println!("{} interleavings", explored.load(Ordering::Relaxed));
}

/// A log and its clock.
pub(crate) struct World {
    pub(crate) log: Arc<Group<Disk>>,
    pub(crate) clock: Clock,
    limits: Limits,
}

impl World {
    /// One whose members write in their own polls.
    pub(crate) fn new(pace: Pace, entries: u32) -> Self {
        Self::on(Disk::default(), pace, entries)
    }

    /// One where every thread is a runtime of its own.
    pub(crate) fn apart(pace: Pace, entries: u32) -> Self {
        Self::on(Disk::default().apart(), pace, entries)
    }

    /// One where every busy period has a thread of its own.
    pub(crate) fn threaded(pace: Pace, entries: u32) -> Self {
        Self::on(Disk::default().threaded(), pace, entries)
    }

    /// One whose first writes end like this.
    pub(crate) fn fated(pace: Pace, entries: u32, fates: &[Fate]) -> Self {
        Self::on(Disk::default().fated(fates), pace, entries)
    }

    fn on(disk: Disk, pace: Pace, entries: u32) -> Self {
        let limits = Limits {
            pace,
            bytes: usize::MAX,
            entries,
            members: 5,
        };
        Self {
            log: Arc::new(Group::new(disk, limits, 0, 0)),
            clock: Clock::default(),
            limits,
        }
    }

    /// The same log and clock, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self {
            log: self.log.clone(),
            clock: self.clock.clone(),
            limits: self.limits,
        }
    }

    /// A thread in the same world.
    pub(crate) fn spawn<R: 'static>(
        &self,
        act: impl FnOnce(&World) -> R + 'static,
    ) -> JoinHandle<R> {
        let world = self.share();
        thread::spawn(move || act(&world))
    }

    pub(crate) fn disk(&self) -> &Disk {
        self.log.host()
    }

    /// A member with these entries, not polled yet.
    pub(crate) fn append(&self, entries: &[u32]) -> Task<'_> {
        self.task(Ask::Entries, entries)
    }

    /// A member without entries, not polled yet.
    pub(crate) fn ask(&self, ask: Ask) -> Task<'_> {
        self.task(ask, &[])
    }

    fn task(&self, ask: Ask, entries: &[u32]) -> Task<'_> {
        Task::new(&self.log, &self.clock, ask, entries)
    }

    /// A member that has been polled once and waits.
    pub(crate) fn waiting(&self, entries: &[u32]) -> Task<'_> {
        self.append(entries).begun()
    }

    /// The same without entries.
    pub(crate) fn waiting_ask(&self, ask: Ask) -> Task<'_> {
        self.ask(ask).begun()
    }

    /// A member that leads, and the flush it was given, which nobody has run yet.
    pub(crate) fn leading(&self, entries: &[u32]) -> (Task<'_>, Job) {
        self.lead_with(self.append(entries))
    }

    /// The same without entries.
    pub(crate) fn leading_ask(&self, ask: Ask) -> (Task<'_>, Job) {
        self.lead_with(self.ask(ask))
    }

    fn lead_with<'a>(&self, task: Task<'a>) -> (Task<'a>, Job) {
        self.disk().hold_next();
        let task = task.begun();
        (task, self.disk().held())
    }

    /// Closes the log as its users do.
    pub(crate) fn close(&self) -> Answer {
        self.log.begin_closing();
        self.ask(Ask::Barrier).wait()?;
        self.ask(Ask::Seal).wait()
    }

    /// Checks that nothing is left of anybody: no room reserved, nobody in line, no slot taken.
    pub(crate) fn at_rest(&self) {
        assert_eq!(Arc::strong_count(&self.log), 1, "a flush is still there");
        let all: Vec<u32> = (0..self.limits.entries).map(|i| 1000 + i).collect();
        let (first, job) = self.leading(&all);
        let others: Vec<_> = (1..self.limits.members)
            .map(|_| self.waiting(&[2000]))
            .collect();
        assert_eq!(
            self.append(&[3000]).poll(),
            Poll::Ready(Err(Refusal::Overloaded))
        );
        drop(others);
        job.run_alone();
        first.wait().expect("the disk is sound again");
    }
}
