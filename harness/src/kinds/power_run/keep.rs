//! A failure, kept.

use std::io;
use std::path::Path;

use super::lives::Lives;
use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::history::Event;
use crate::oracle::Violation;
use crate::scratch::remove_dir;
use crate::store::Store;

/// Its last crash state is laid out in `image`, its story told, what was done is the evidence.
///
/// # Errors
/// If that cannot be written.
pub(super) fn keep(
    store: &dyn Store,
    lives: &Lives,
    crash: CrashKind,
    (violation, events): (Violation, Vec<Event>),
    control: &str,
    image: &Path,
) -> io::Result<Finding> {
    remove_dir(image)?;
    lives.crash_state()?.lay_out(image)?;
    let told = format!(
        "{}Then recovery finds: {violation}\n\n{control}",
        lives.tell(&|id| store.entry_name(id))?
    );
    Ok(store
        .finding(crash, violation, events)
        .at(lives.point()?)
        .with_image(image)
        .and_story(&told)
        .with_evidence(lives))
}
