//! What is asked of a log, and how it is driven.

use std::sync::Mutex;

use plugpull::{Recorder, SubjectError, Survivors, Workload};

use crate::turns::lock;
use crate::writers;

/// The few things that a torture needs of a log. Entries are counted: the first one that recovery shows is at
/// position 0.
pub(crate) trait Log: Sync + Sized {
    /// Appends an entry behind all others. Calls do not overlap.
    fn append(&self, payload: &[u8]) -> Result<(), SubjectError>;

    /// Makes every entry durable whose append has returned, if the append has not. Calls may overlap with each other
    /// and with appends.
    fn sync(&self) -> Result<(), SubjectError> {
        Ok(())
    }

    /// Every entry, in order.
    fn for_each(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), SubjectError>;

    /// Closes the log by the call that it has for that.
    fn close(self) -> Result<(), SubjectError> {
        Ok(())
    }
}

/// Appends from several threads.
pub(crate) fn write(
    log: &impl Log,
    workload: &Workload,
    recorder: &Recorder,
) -> Result<(), SubjectError> {
    let mut entries = 0;
    log.for_each(&mut |_| entries += 1)?;
    let end = Mutex::new(entries);
    writers::run(workload, |action| {
        recorder.attempt(action.id);
        let append = || -> Result<u64, SubjectError> {
            let position = {
                let mut end = lock(&end);
                log.append(&workload.payload(action.id))?;
                *end += 1;
                *end - 1
            };
            log.sync()?;
            Ok(position)
        };
        let position = append().inspect_err(|_| recorder.failed(action.id))?;
        recorder.ack(action.id, position);
        Ok(())
    })
}

/// Every entry of the log, as survivors.
pub(crate) fn show(log: &impl Log, survivors: &mut Survivors) -> Result<(), SubjectError> {
    let mut position = 0;
    log.for_each(&mut |payload| {
        survivors.push(position, payload);
        position += 1;
    })
}
