//! The log as a subject.

use std::path::Path;

use plugpull::sim::SimFs;
use plugpull::{
    RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, WriteRun,
};

use crate::entry::{Entry, HEADER_BYTES, SLOT_BYTES, name_of};
use crate::log::Log;
use crate::mistake::Mistake;

/// A log in segments, in groups of a few entries. It is named after its mistake.
pub(crate) struct Store {
    pub(crate) mistake: Mistake,
    pub(crate) name: String,
}

impl Store {
    pub(crate) fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            name: format!("{mistake:?}"),
        }
    }
}

impl Subject for Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
        Err("it runs on the simulated file system only".into())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Err("it runs on the simulated file system only".into())
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Store {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        Log::open(run.fs, run.dir, self.mistake)?.carry_out(run.workload, run.recorder)
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let fails = matches!(
            self.mistake,
            Mistake::FailsInRecovery | Mistake::FailsInRecoveryAndAcksBeforeSync
        );
        if fails && run.fs.exists(run.dir.join(name_of(1))) {
            return Err("two segments are too many".into());
        }
        let first = run.dir.join(name_of(0));
        let is_empty = |file: Vec<u8>| {
            let slots = file.get(HEADER_BYTES..).unwrap_or_default();
            let mut entries = slots.chunks_exact(SLOT_BYTES).filter_map(Entry::decode);
            entries.next().is_none()
        };
        if self.mistake == Mistake::FailsWhereNothingIsYet && run.fs.read(first).is_ok_and(is_empty)
        {
            return Err("there is nothing".into());
        }
        Log::open(run.fs, run.dir, self.mistake)?.show(survivors);
        Ok(())
    }

    /// What the groups of whole entries say was durable before them.
    fn vouched(&self, fs: &SimFs, dir: &Path) -> Option<u64> {
        let names = fs.read_dir(dir).unwrap_or_default();
        let names = names
            .iter()
            .filter(|name| name.strip_suffix(".seg").is_some());
        let files = names.filter_map(|name| fs.read(dir.join(name)).ok());
        let durable = |file: Vec<u8>| {
            let slots = file.get(HEADER_BYTES..).unwrap_or_default();
            let entries = slots.chunks_exact(SLOT_BYTES).filter_map(Entry::decode);
            entries.map(|entry| entry.durable).max()
        };
        files.filter_map(durable).max()
    }
}
