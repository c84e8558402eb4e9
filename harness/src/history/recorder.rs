//! A writer's hand on the history.

use super::event::Event;
use super::memory::History;

/// A writer's hand on the history. Cheap to clone, usable from any thread.
///
/// When the history is full there is nothing more to be learnt from this generation: the calling
/// thread waits to be killed.
#[derive(Clone, Debug)]
pub struct Recorder {
    history: History,
    /// The writer runs in this process, and is not going to be killed.
    in_process: bool,
}

impl Recorder {
    /// A hand on this history. A subject is given one with its [`WriteRun`](crate::WriteRun).
    pub fn new(history: History) -> Self {
        Self {
            history,
            in_process: false,
        }
    }

    pub(crate) fn in_process(history: History) -> Self {
        Self {
            history,
            in_process: true,
        }
    }

    fn record(&self, event: Event) {
        while !self.history.record(event) {
            assert!(
                !self.in_process,
                "more is announced than {} events, which is more than a workload gives rise to",
                self.history.events_max()
            );
            std::thread::park();
        }
    }

    /// Call it before an append begins.
    pub fn attempt(&self, id: u64) {
        self.record(Event::Attempt { id, key: 0 });
    }

    /// Call it before a put into a key-value store begins.
    pub fn attempt_put(&self, id: u64, key: u64) {
        self.record(Event::Attempt { id, key });
    }

    /// Call it before a delete from a key-value store begins.
    pub fn attempt_delete(&self, id: u64, key: u64) {
        self.record(Event::AttemptDelete { id, key });
    }

    /// Call it after the store has said that the entry is durable, with its position, or its key.
    pub fn ack(&self, id: u64, position: u64) {
        self.record(Event::Ack { id, position });
    }

    /// Call it after the store has said that the entry is certainly not in it.
    pub fn refused(&self, id: u64) {
        self.record(Event::Refused { id });
    }

    /// Call it after the store has failed without saying what became of the entry.
    pub fn failed(&self, id: u64) {
        self.record(Event::Failed { id });
    }

    /// Call it before entries below a position may go.
    pub fn trim_begin(&self, below: u64) {
        self.record(Event::TrimBegin { below });
    }

    /// Call it after the store has said that they are gone.
    pub fn trim_end(&self, below: u64) {
        self.record(Event::TrimEnd { below });
    }

    /// Call it before a batch of appends begins, which the store makes durable as a whole or not at all,
    /// in this order and with nothing in between.
    pub fn attempt_batch(&self, ids: &[u64]) {
        for id in ids {
            self.attempt(*id);
        }
        for pair in ids.windows(2) {
            let (after, id) = (pair[0], pair[1]);
            self.record(Event::Together { id, after });
        }
    }

    /// Call it after the store has said that every entry below a position is durable.
    pub fn durable(&self, below: u64) {
        self.record(Event::Durable { below });
    }

    /// Call it after the store has said that it is closed. The subject's recovery then has to say so too:
    /// [`Survivors::closed`](crate::Survivors::closed).
    pub fn closed(&self) {
        self.record(Event::Closed);
    }

    /// Call it when a reader of the running store has been shown an entry.
    pub fn shown(&self, id: u64, position: u64) {
        self.record(Event::Shown { id, position });
    }
}
