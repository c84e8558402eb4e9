//! `disk`: a writer on a real file system, on a recorded block device; the crash states are images of
//! that device, mounted and recovered one after another.

mod bench;
mod contents;
mod crash;
mod shrink;
mod story;
mod worker;

use std::io;
use std::sync::OnceLock;

use self::crash::{DiskCrash, Opened};
use self::worker::OnDevices;
use super::contract::{Case, Job, Kind, Replayed, Saved, Shrinking, Worker};
use super::examine::{replay_image, verdict};
use crate::crash_kind::CrashKind;
use crate::disk::{FileSystem, FileSystemKind, available};
use crate::plan::Plan;
use crate::shrink::Deadline;
use crate::store::Tested;

/// The crash kind.
pub(super) struct OnDisk;

impl Kind for OnDisk {
    fn id(&self) -> CrashKind {
        CrashKind::Disk
    }

    fn describe(&self) -> &'static str {
        "a real ext4, xfs or btrfs on a recorded block device: prefixes of its writes and subsets \
         of the unflushed ones, mounted and recovered; finds the same as power, in any store; \
         cannot find what a device does wrong"
    }

    /// One for each file system.
    fn cases(&self, plan: &Plan) -> Vec<Case> {
        let wanted = match plan.file_systems.as_slice() {
            [] => &FileSystemKind::ALL,
            wanted => wanted,
        };
        let case = |fs: &FileSystemKind| Case {
            crash: self.id(),
            fs: Some(*fs),
        };
        wanted.iter().map(case).collect()
    }

    fn available(&self, tested: Tested<'_>, case: Case, _: &Plan) -> Result<(), String> {
        tested.has_what_it_needs()?;
        let fs = case.fs.expect("a row of this kind has a file system");
        available_once(fs).map_err(|why| format!("{fs}: {why}"))
    }

    fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let probe = |fs| (format!("disk {fs}"), available_once(fs));
        FileSystemKind::ALL.map(probe).into()
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
        Box::new(OnDevices::new(&job))
    }

    /// Mounts the crash image again. Where that cannot be done, the saved directory is checked.
    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
        let crash: DiskCrash = saved.finding.evidence()?;
        match replay(saved, &crash)? {
            Ok(replayed) => Ok(replayed),
            Err(why) => Ok(Replayed {
                note: Some(format!(
                    "The crash image cannot be mounted here ({why}): its saved directory is checked."
                )),
                ..replay_image(saved)?
            }),
        }
    }

    fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
        shrink::shrink(saved, deadline)
    }
}

/// Whether power cuts on this file system can be tried here; tried in small, once a process.
fn available_once(kind: FileSystemKind) -> Result<(), String> {
    static FOUND: [OnceLock<Result<(), String>>; FileSystemKind::ALL.len()] =
        [const { OnceLock::new() }; FileSystemKind::ALL.len()];
    let index = FileSystemKind::ALL.iter().position(|known| *known == kind);
    let found = &FOUND[index.expect("all are in the list")];
    let probe = || available(&FileSystem::new(kind), &std::env::temp_dir());
    found.get_or_init(probe).clone()
}

/// Mounts a saved crash again, recovers the store and asks the oracle. The inner error says why this
/// machine cannot mount it.
fn replay(saved: Saved<'_>, crash: &DiskCrash) -> io::Result<Result<Replayed, String>> {
    if let Err(why) = available(&crash.file_system, saved.scratch) {
        return Ok(Err(why));
    }
    let mut opened = Opened::open(saved.finding, crash, saved.scratch)?;
    let image = crash.image(&opened.recording)?;
    let mut store = saved.tested.resumed(saved.finding, saved.plan)?;
    let recovered = opened.recover(&mut *store, &image)?;
    let Some(recovered) = recovered else {
        return Ok(Err("the kernel does not mount the image".to_owned()));
    };
    let events = crash.announced.at(crash.index);
    Ok(Ok(Replayed {
        verdict: verdict(&*store, &events, &recovered),
        note: Some(format!(
            "The crash image was mounted again, as {}.",
            crash.file_system.kind
        )),
    }))
}
