//! A log of slots in a file that is made beforehand. How a slot is written, and made durable, differs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use plugpull::{
    CrashKind, Failure, PlannedFault, RecoverRun, Report, Subject, SubjectError, Survivors,
    WriteRun,
};

use crate::case::torture;
use crate::slot::{fill, payloads};

/// The largest payload of a small workload fits.
pub(crate) const SLOT_BYTES: usize = 8192;
const SLOTS: usize = 128;
/// Of one run.
const ENTRIES: usize = 48;

/// Bytes where a write past the page cache may begin.
#[repr(align(4096))]
pub(crate) struct Slot(pub(crate) [u8; SLOT_BYTES]);

/// Writes a slot at an offset, and returns when it is durable, as it believes.
pub(crate) type Put = fn(&File, &Slot, u64) -> io::Result<()>;

/// A store that writes its slots in one way.
pub(crate) struct Slots {
    pub(crate) name: &'static str,
    pub(crate) put: Put,
    /// Flags of open(2).
    pub(crate) flags: i32,
}

impl Slot {
    fn of(payload: &[u8]) -> Self {
        let mut slot = [0; SLOT_BYTES];
        fill(&mut slot, payload);
        Self(slot)
    }
}

/// The log, with what is in it durable.
fn durable(dir: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(dir.join("log"))?;
    file.set_len((SLOTS * SLOT_BYTES) as u64)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    let mut all = vec![0; SLOTS * SLOT_BYTES];
    file.read_exact_at(&mut all, 0)?;
    Ok((file, all))
}

impl Subject for Slots {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        use std::os::unix::fs::OpenOptionsExt;
        let (_, all) = durable(run.dir)?;
        let mut options = File::options();
        options.read(true).write(true).custom_flags(self.flags);
        let file = options.open(run.dir.join("log"))?;
        let used = payloads(&all, SLOT_BYTES).count();
        let actions = run.workload.actions(0).take(ENTRIES);
        for (number, action) in (used..SLOTS).zip(actions) {
            let slot = Slot::of(&run.workload.payload(action.id));
            run.recorder.attempt(action.id);
            (self.put)(&file, &slot, (number * SLOT_BYTES) as u64)?;
            run.recorder.ack(action.id, number as u64);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let (_, all) = durable(run.dir)?;
        for (number, payload) in payloads(&all, SLOT_BYTES).enumerate() {
            survivors.push(number as u64, payload);
        }
        Ok(())
    }
}

impl Slots {
    pub(crate) fn run(self, rounds: u64) -> Result<Report, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        torture(self, rounds, dir.path()).run()
    }

    /// On a disk that fails a sync after two acknowledgements.
    pub(crate) fn run_without_syncs(self, rounds: u64) -> Result<Report, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let fails: PlannedFault = "fsync:+3:EIO".parse().expect("a fault");
        let torture = torture(self, rounds, dir.path()).crash([CrashKind::Fault]);
        torture.faults([fails]).run()
    }
}
