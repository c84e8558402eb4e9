//! A failure, kept.

use std::fs;
use std::io;
use std::path::Path;

use super::script::{Generation, Script};
use super::story::Crash;
use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::history::Event;
use crate::kinds::story::{Broken, Past, Promised, files_in};
use crate::loss::{Cuts, KillPoint};
use crate::scratch::remove_dir;
use crate::store::Store;

/// A broken promise, and all that led to it.
pub(super) struct Failure<'f> {
    pub(super) crash: &'f Crash<'f>,
    /// The generations before.
    pub(super) past: &'f Past,
    /// What the failed generation had announced.
    pub(super) events: Vec<Event>,
    pub(super) broken: Broken,
    /// Where the generations were killed.
    pub(super) kills: &'f [KillPoint],
    pub(super) cuts: Cuts,
}

/// Its crash state is laid out in `image`, its story told, what the generations did is the evidence.
///
/// # Errors
/// If that cannot be written.
pub(super) fn keep(store: &dyn Store, failure: Failure<'_>, image: &Path) -> io::Result<Finding> {
    let Failure {
        crash,
        past,
        events,
        broken,
        kills,
        cuts,
    } = failure;
    remove_dir(image)?;
    fs::create_dir_all(image)?;
    crash.image().write(image)?;
    let entry = |id| store.entry_name(id);
    let promised = Promised {
        past,
        events: &events,
        entry: &entry,
    };
    let told = format!(
        "Numbers count the calls of a life on the directory.\n\n{}{}{}\nThe crash leaves, in `image/`:\n\n{}",
        past.told(),
        crash.tell(past.next(), &events, &entry),
        promised.tell(&broken),
        files_in(image)?
    );
    let finding = store.finding(CrashKind::Syscall, broken.violation, events);
    let workloads = finding.workloads.iter().cloned();
    let script: Script = workloads
        .zip(kills)
        .map(|(workload, kill)| Generation {
            workload,
            kill: *kill,
            cuts,
        })
        .collect();
    Ok(finding
        .at(crash.point())
        .with_image(image)
        .and_story(&told)
        .with_evidence(&script))
}
