//! A gate between the log and its disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use groupwal::Executor;
use tokio::sync::Notify;

/// Runs the log's work, or keeps it back.
#[derive(Default)]
pub(crate) struct Gate {
    is_shut: AtomicBool,
    kept: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    pub(crate) arrived: Notify,
}

impl Executor for Gate {
    fn execute(&self, work: Box<dyn FnOnce() + Send>) {
        if self.is_shut.load(Ordering::SeqCst) {
            self.kept.lock().unwrap().push(work);
            self.arrived.notify_one();
        } else {
            tokio::task::spawn_blocking(work);
        }
    }
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    /// Lets through what was kept back.
    pub(crate) fn open(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for work in kept {
            self.execute(work);
        }
    }
}
