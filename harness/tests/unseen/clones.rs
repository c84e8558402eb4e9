//! `FICLONE`: a file takes over another one's bytes without a write.

use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use plugpull::disk::{Disk, FileSystem, Image, Site, available};
use plugpull::{Failure, RecoverRun, Report, Subject, SubjectError, Survivors, WriteRun};

use crate::files::open;
use crate::verdict::{is_caught, passes, torture};

const RECORD_BYTES: usize = 8192;

/// A log in one file, of which a clone is what counts.
struct Cloned {
    name: &'static str,
    /// It acknowledges before it clones.
    early: bool,
}

impl Subject for Cloned {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let (mut draft, clone) = (open(run.dir, "draft")?, open(run.dir, "clone")?);
        // A longer file keeps its end.
        draft.set_len(0)?;
        rustix::fs::ioctl_ficlone(&draft, &clone)?;
        io::Seek::seek(&mut draft, io::SeekFrom::End(0))?;
        let used = clone.metadata()?.len() / RECORD_BYTES as u64;
        for (position, action) in (used..).zip(run.workload.actions(0).take(12)) {
            let payload = run.workload.payload(action.id);
            let mut record = u64::try_from(payload.len())?.to_le_bytes().to_vec();
            record.extend(payload);
            record.resize(RECORD_BYTES, 0);
            run.recorder.attempt(action.id);
            draft.write_all(&record)?;
            if self.early {
                run.recorder.ack(action.id, position);
            }
            rustix::fs::ioctl_ficlone(&clone, &draft)?;
            if !self.early {
                run.recorder.ack(action.id, position);
            }
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let bytes = match fs::read(run.dir.join("clone")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        for (position, record) in records.iter().enumerate() {
            let (len, payload) = record.split_first_chunk::<8>().ok_or("no length")?;
            let len = usize::try_from(u64::from_le_bytes(*len))?;
            survivors.push(position as u64, payload.get(..len).ok_or("a bad length")?);
        }
        Ok(())
    }
}

/// On XFS, where files can be cloned. `None` where it cannot be mounted.
fn run(subject: Cloned) -> Option<Result<Report, Failure>> {
    plugpull::obey_orders(&[&subject]);
    let tmp = tempfile::tempdir().expect("a directory");
    let file_system = FileSystem::xfs();
    if let Err(why) = available(&file_system, tmp.path()) {
        eprintln!("skipped: {why}");
        return None;
    }
    let site = Site::enter(tmp.path()).expect("it was tried");
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock).expect("a disk");
    disk.format(&file_system).expect("formatted");
    let mounted = disk.mount(&file_system).expect("mounted");
    let outcome = torture(subject).scratch(mounted.path()).run();
    mounted.unmount().expect("unmounted");
    Some(outcome)
}

#[test]
fn a_store_that_clones_files_is_not_accused() {
    let subject = Cloned {
        name: "cloned",
        early: false,
    };
    if let Some(outcome) = run(subject) {
        passes(outcome);
    }
}

#[test]
fn a_cloning_store_that_acknowledges_early_is_caught() {
    let subject = Cloned {
        name: "cloned-early",
        early: true,
    };
    if let Some(outcome) = run(subject) {
        is_caught(outcome, "lost");
    }
}
