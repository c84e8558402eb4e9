//! A key-value store that runs on the simulated file system.

use std::path::Path;

use plugpull::sim::SimFs;
use plugpull::{SimRecoverRun, SimWriteRun, Simulated, SubjectError, Survivors};

use crate::key_value::{self, KeyValue};

/// Opens a store in a directory of the simulated file system.
pub(crate) type OpenSimulated<S> = fn(&SimFs, &Path) -> Result<S, SubjectError>;

/// The store, written by one thread: nothing there may depend on the order of threads.
pub(crate) struct Seam<S>(pub(crate) OpenSimulated<S>);

impl<S: KeyValue> Simulated for Seam<S> {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let store = self.0(run.fs, run.dir)?;
        let mut actions = run.workload.actions(0);
        actions.try_for_each(|action| key_value::write(&store, run.workload, run.recorder, &action))
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let store = self.0(run.fs, run.dir)?;
        key_value::show(&store, survivors)?;
        key_value::leave(store, run.close)
    }
}
