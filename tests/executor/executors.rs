//! Executors that do with work what a test says, and what is played on them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{mem, thread};

use groupwal::{EngineKind, Executor, Options, SyncPolicy};
use tokio::time::{Instant, timeout};

use crate::support::tiny::options;

/// Longer than anything here takes in paused time.
const HANG: Duration = Duration::from_secs(3600);

type Work = Box<dyn FnOnce() + Send>;

/// Runs so many pieces of work in place, and drops the others.
pub(crate) struct InPlace(AtomicUsize);

impl InPlace {
    pub(crate) fn new(runs: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(runs)))
    }

    /// From now on it runs so many more.
    pub(crate) fn allow(&self, runs: usize) {
        self.0.store(runs, Ordering::SeqCst);
    }

    pub(crate) fn left(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Executor for InPlace {
    fn execute(&self, work: Work) {
        match self.left() {
            0 => drop(work),
            left => {
                self.allow(left - 1);
                work();
            }
        }
    }
}

/// Runs work in tasks of the runtime that it is called on.
pub(crate) struct InTasks;

impl Executor for InTasks {
    fn execute(&self, work: Work) {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            work();
        });
    }
}

/// Keeps work until a test says what becomes of it.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<Work>>);

impl Shelf {
    pub(crate) fn take(&self) -> Vec<Work> {
        mem::take(&mut self.0.lock().unwrap())
    }

    /// Runs all there is, on another thread.
    pub(crate) fn run(&self) {
        let works = self.take();
        assert!(!works.is_empty(), "there is no work");
        let elsewhere = thread::spawn(move || works.into_iter().for_each(|work| work()));
        elsewhere.join().unwrap();
    }
}

impl Executor for Shelf {
    fn execute(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

pub(crate) fn on(executor: &Arc<impl Executor>) -> Options {
    let options = options().engine(EngineKind::Blocking);
    options.executor(executor.clone())
}

pub(crate) fn policies() -> [SyncPolicy; 4] {
    [
        SyncPolicy::EveryWrite,
        SyncPolicy::Background {
            interval: Duration::from_millis(10),
        },
        SyncPolicy::Batch {
            max_entries: 3,
            max_delay: Duration::from_millis(5),
        },
        SyncPolicy::Adaptive,
    ]
}

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let start = Instant::now();
    let output = timeout(HANG, future).await.expect("it hangs");
    // A timeout polls the future once more when it fires: only the clock tells.
    assert!(start.elapsed() < HANG, "it was not woken");
    output
}
