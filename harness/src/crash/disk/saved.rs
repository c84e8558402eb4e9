//! A crash on a real disk, kept so that the very same image can be mounted again.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Announced, Run, Store, copy_store, recover, verdict};
use crate::disk::{
    Crashes, Examiner, FileSystem, Image, Outcome, Recording, Sampling, Site, available,
};
use crate::finding::Finding;
use crate::oracle::Violation;

/// What a failure of `disk` keeps: the recording, and what became of its writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DiskCrash {
    pub(crate) file_system: FileSystem,
    pub(crate) outcome: Outcome,
    /// The index of the crash.
    pub(crate) index: u64,
    pub(crate) announced: Announced,
    /// The recording's folder.
    pub(crate) recording: PathBuf,
}

/// A saved crash, ready to be mounted.
pub(super) struct Opened {
    pub(super) recording: Recording,
    pub(super) examiner: Examiner,
}

impl Opened {
    /// # Errors
    /// If the recording cannot be read, or nothing can be mounted here.
    pub(super) fn open(crash: &DiskCrash, scratch: &Path) -> io::Result<Self> {
        let recording = Recording::load(&crash.recording)?;
        let site = Site::enter(scratch)?;
        let examiner = Examiner::new(&site, &crash.file_system)?;
        Ok(Self {
            recording,
            examiner,
        })
    }
}

impl DiskCrash {
    /// The disk that the crash leaves.
    pub(super) fn image(&self, recording: &Recording) -> io::Result<Image> {
        Crashes::new(recording, &Sampling::prefixes())
            .image(&self.outcome)
            .ok_or_else(|| io::Error::other("the saved outcome is of another recording"))
    }

    /// A finding of this crash: `found` is what its store says, the rest is the disk's. The store's
    /// directory, as the crash leaves it, is put below `evidence`.
    pub(super) fn found(
        self,
        examiner: &mut Examiner,
        recording: &Recording,
        image: &Image,
        found: Finding,
        evidence: &Path,
    ) -> io::Result<Finding> {
        let store = evidence.join("store");
        copy_store(examiner, image, &store)?;
        let run = Run {
            recording,
            announced: &self.announced,
        };
        Ok(Finding {
            crash_point: self.point(),
            tale: Some(self.tell(run)),
            events: self.announced.at(self.index),
            image: store,
            disk: Some(self),
            ..found
        })
    }
}

/// Mounts a saved crash again, recovers the store and asks the oracle. `None` if this machine cannot
/// mount it: then the saved directory is all that there is, and the text says why.
///
/// # Errors
/// If the recording is damaged, or the machine fails.
pub(crate) fn replay(
    store: &mut dyn Store,
    crash: &DiskCrash,
    scratch: &Path,
) -> io::Result<Result<Result<(), Violation>, String>> {
    if let Err(why) = available(&crash.file_system, scratch) {
        return Ok(Err(why));
    }
    let mut opened = Opened::open(crash, scratch)?;
    let image = crash.image(&opened.recording)?;
    let Some(recovered) = recover(store, &mut opened.examiner, &image, false)? else {
        return Ok(Err("the kernel does not mount the image".to_owned()));
    };
    Ok(Ok(verdict(
        store,
        &recovered,
        &crash.announced.at(crash.index),
    )))
}
