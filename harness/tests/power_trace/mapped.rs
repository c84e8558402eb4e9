//! A log of slots in a mapped file, which calls do not write: only msync makes them durable.

use std::fs::File;
use std::path::Path;

use memmap2::{MmapMut, MmapOptions};
use plugpull::sim::Profile;
use plugpull::{
    CrashKind, Failure, PlannedFault, RecoverRun, Report, Subject, SubjectError, Survivors,
    WriteRun,
};

use crate::case::{is_caught, passes, torture};
use crate::slot::{fill, payloads};

const SLOT_BYTES: usize = 8192;
const SLOTS: usize = 24;
/// Of one run.
const ENTRIES: usize = 3;

/// What it does before it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    Msync,
    /// All of the file system.
    Everything,
    Nothing,
    /// Its error is not looked at.
    Careless,
    /// msync of another mapping of the file, a private one: that syncs nothing.
    OfPrivate,
    /// Of another file, after the acknowledgement.
    OfOther,
}

struct Mapped {
    name: &'static str,
    sync: Sync,
}

fn open(dir: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(dir.join("log"))
}

/// The log, with what is in it durable.
fn durable(dir: &Path) -> std::io::Result<MmapMut> {
    let file = open(dir)?;
    file.set_len((SLOTS * SLOT_BYTES) as u64)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    #[expect(unsafe_code, reason = "memory shared with a file")]
    // SAFETY: no other process changes the file.
    unsafe {
        MmapMut::map_mut(&file)
    }
}

impl Subject for Mapped {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let mut map = durable(run.dir)?;
        let file = open(run.dir)?;
        #[expect(unsafe_code, reason = "memory that is a copy of a file")]
        // SAFETY: it is not read.
        let private = unsafe { MmapOptions::new().map_copy(&file) }?;
        let used = payloads(&map, SLOT_BYTES).count();
        let actions = run.workload.actions(0).take(ENTRIES);
        for (number, action) in (used..SLOTS).zip(actions) {
            let payload = run.workload.payload(action.id);
            run.recorder.attempt(action.id);
            let slot = &mut map[number * SLOT_BYTES..][..SLOT_BYTES];
            fill(slot, &payload);
            match self.sync {
                Sync::Msync => map.flush()?,
                Sync::Everything => rustix::fs::syncfs(&file)?,
                Sync::Careless => drop(map.flush()),
                Sync::OfPrivate => private.flush()?,
                Sync::Nothing | Sync::OfOther => {}
            }
            run.recorder.ack(action.id, number as u64);
            // Only a call is a moment at which the power goes.
            std::fs::write(run.dir.join("other"), b"x")?;
            if self.sync == Sync::OfOther {
                File::open(run.dir.join("other"))?.sync_all()?;
            }
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let map = durable(run.dir)?;
        for (number, payload) in payloads(&map, SLOT_BYTES).enumerate() {
            survivors.push(number as u64, payload);
        }
        Ok(())
    }
}

fn run(name: &'static str, sync: Sync, rounds: u64) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().expect("a directory");
    torture(Mapped { name, sync }, rounds, dir.path()).run()
}

#[test]
fn what_is_stored_to_a_mapping_is_durable_after_msync() {
    passes(run("msync", Sync::Msync, 1));
}

#[test]
fn what_is_stored_to_a_mapping_is_durable_after_a_sync_of_the_file_system() {
    passes(run("syncfs", Sync::Everything, 1));
}

/// What is acknowledged is in memory, but no write has told of it yet. The states before its page is
/// written back are not those of a store that has lost it.
#[test]
fn what_is_stored_to_a_mapping_survives_where_everything_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let mapped = Mapped {
        name: "no-msync",
        sync: Sync::OfOther,
    };
    let torture = torture(mapped, 2, dir.path());
    passes(torture.profiles([Profile::Everything]).run());
}

#[test]
fn what_is_stored_to_a_mapping_is_lost_without_msync() {
    is_caught(run("no-msync", Sync::Nothing, 4), "lost");
}

/// It was once taken for a sync of the file.
#[test]
fn msync_of_a_private_mapping_syncs_nothing() {
    is_caught(run("private-msync", Sync::OfPrivate, 4), "lost");
}

fn run_without_syncs(name: &'static str, sync: Sync, rounds: u64) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().expect("a directory");
    let fails: PlannedFault = "fsync:+2:EIO".parse().expect("a fault");
    let torture = torture(Mapped { name, sync }, rounds, dir.path()).crash([CrashKind::Fault]);
    torture.faults([fails]).run()
}

#[test]
fn an_msync_that_fails_is_not_believed() {
    passes(run_without_syncs("msync", Sync::Msync, 2));
}

#[test]
fn an_msync_whose_error_is_not_looked_at_is_caught() {
    is_caught(run_without_syncs("careless", Sync::Careless, 4), "lost");
}
