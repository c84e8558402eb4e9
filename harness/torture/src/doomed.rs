//! A runtime that goes away under a live log, with appends in flight, while others go on.

use std::io;

use groupwal::{Error, Wal};
use plugpull::{Recorder, Workload};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::act::act;

/// One run in so many has such a runtime.
const ONE_IN: u64 = 4;
/// It goes away when a task has begun this number of appends, at the most.
const BEGUN_MAX: u64 = 24;
/// The number of its tasks.
const TASKS: u32 = 2;

/// A runtime of its own, with writers of its own.
pub(crate) struct Doomed {
    runtime: Runtime,
    /// Says that it is time to go, or what has failed before.
    is_due: mpsc::Receiver<Result<(), Error>>,
}

impl Doomed {
    /// Begins to append there, if the workload has it so.
    pub(crate) fn begin(
        wal: &Wal,
        workload: &Workload,
        recorder: &Recorder,
    ) -> io::Result<Option<Self>> {
        if !workload.seed.is_multiple_of(ONE_IN) {
            return Ok(None);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (say, is_due) = mpsc::channel(1);
        let begun_max = 1 + workload.seed / ONE_IN % BEGUN_MAX;
        for task in 0..TASKS {
            // The writers of the other runtime have the numbers below.
            let writer = workload.writers + task;
            let (wal, workload, recorder) = (wal.clone(), workload.clone(), recorder.clone());
            let say = say.clone();
            runtime.spawn(async move {
                for (begun, action) in (0..).zip(workload.actions(writer)) {
                    if begun == begun_max {
                        drop(say.try_send(Ok(())));
                    }
                    if let Err(error) = act(&wal, &workload, &action, &recorder).await {
                        drop(say.try_send(Err(error)));
                        return;
                    }
                }
            });
        }
        Ok(Some(Self { runtime, is_due }))
    }

    /// Waits until it is due, and lets it go: what its tasks have in flight is dropped.
    ///
    /// # Errors
    /// If one of its tasks failed before.
    pub(crate) async fn go(mut self) -> Result<(), Error> {
        let due = self.is_due.recv().await;
        self.runtime.shutdown_background();
        due.unwrap_or(Ok(()))
    }
}
