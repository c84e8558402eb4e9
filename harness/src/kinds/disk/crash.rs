//! A crash on a real disk, kept so that the very same image can be mounted again.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use crate::crash_kind::CrashKind;
use crate::disk::{
    Crashes, Examiner, FileSystem, Image, Outcome, Recording, Sampling, Site, is_mount_refused,
};
use crate::finding::Finding;
use crate::kinds::story::{Broken, Past, Promised, files_in};
use crate::recorder::{OnImage, STORE, Timed};
use crate::scratch::{copy_dir, remove_dir};
use crate::store::{Recovered, Store};

/// The recording's folder, below that of the failure.
const RECORDING: &str = "recording";

/// The evidence of a failure of `disk`: what became of the writes in the recording, which is attached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DiskCrash {
    pub(super) file_system: FileSystem,
    pub(super) outcome: Outcome,
    /// The index of the crash.
    pub(super) index: u64,
    pub(super) announced: Timed,
}

impl DiskCrash {
    /// The device that the crash leaves.
    pub(super) fn image(&self, recording: &Recording) -> io::Result<Image> {
        Crashes::new(recording, &Sampling::prefixes())
            .image(&self.outcome)
            .ok_or_else(|| io::Error::other("the saved outcome is of another recording"))
    }

    /// A finding of this crash. The recording, and the store's directory as the crash leaves it, are put
    /// below `evidence`.
    pub(super) fn finding(
        &self,
        store: &dyn Store,
        (past, broken): (&Past, Broken),
        recording: &Recording,
        examiner: &mut Examiner,
        evidence: &Path,
    ) -> io::Result<Finding> {
        remove_dir(evidence)?;
        fs::create_dir_all(evidence)?;
        let (image, recorded) = (evidence.join(STORE), evidence.join(RECORDING));
        recording.save(&recorded)?;
        let left = self.image(recording)?;
        copy_store(examiner, &left, &image)?;
        let contents = Contents::read(examiner, &[&left, &recording.image_at(recording.end)])?;
        let events = self.announced.at(self.index);
        let entry = |id| store.entry_name(id);
        let promised = Promised {
            past,
            events: &events,
            entry: &entry,
        };
        let told = format!(
            "{}{}{}\nThe crash leaves, in `image/`:\n\n{}",
            past.told(),
            self.tell(recording, &contents, &entry),
            promised.tell(&broken),
            files_in(&image)?
        );
        let finding = store.finding(CrashKind::Disk, broken.violation, events);
        Ok(finding
            .at(self.point())
            .with_image(&image)
            .and_story(&told)
            .with_evidence(self)
            .with_attachment(RECORDING, &recorded))
    }
}

/// A saved crash, ready to be mounted.
pub(super) struct Opened {
    pub(super) recording: Recording,
    pub(super) examiner: Examiner,
}

impl Opened {
    /// # Errors
    /// If the recording cannot be read, or nothing can be mounted here.
    pub(super) fn open(finding: &Finding, crash: &DiskCrash, scratch: &Path) -> io::Result<Self> {
        let recording = Recording::load(&finding.attachment(RECORDING))?;
        let site = Site::enter(scratch)?;
        let examiner = Examiner::new(&site, &crash.file_system)?;
        Ok(Self {
            recording,
            examiner,
        })
    }

    /// Recovers the store on an image. `None` if the kernel does not mount it.
    pub(super) fn recover(
        &mut self,
        store: &mut dyn Store,
        image: &Image,
    ) -> io::Result<Option<Recovered>> {
        recover_on(&mut self.examiner, store, image)
    }
}

/// Recovers the store on an image. `None` if the kernel does not mount it.
pub(super) fn recover_on(
    examiner: &mut Examiner,
    store: &mut dyn Store,
    image: &Image,
) -> io::Result<Option<Recovered>> {
    let on_image = OnImage {
        image,
        close: false,
        record: false,
    };
    let recovered = on_image.recover(examiner, store)?;
    Ok(recovered.map(|(recovered, _)| recovered))
}

/// Copies the store's directory on an image; leaves an empty one if the kernel does not mount it.
fn copy_store(examiner: &mut Examiner, image: &Image, to: &Path) -> io::Result<()> {
    remove_dir(to)?;
    match examiner.with_mounted(image, |dir| copy_dir(&dir.join(STORE), to)) {
        Ok(copied) => copied,
        Err(error) if is_mount_refused(&error) => fs::create_dir_all(to),
        Err(error) => Err(error),
    }
}
