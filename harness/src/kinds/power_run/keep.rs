//! A failure, kept.

use std::io;
use std::path::Path;

use super::lives::Lives;
use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::history::Event;
use crate::kinds::story::{Broken, Past, Promised, files_in};
use crate::oracle::Violation;
use crate::scratch::remove_dir;
use crate::store::{Damaged, Store};
use crate::survivor::Survivor;

/// What was found.
pub(super) struct Failure<'f> {
    pub(super) lives: &'f Lives,
    /// What the recovery before the last life had shown.
    pub(super) past: &'f Past,
    pub(super) crash: CrashKind,
    pub(super) violation: Violation,
    pub(super) events: Vec<Event>,
    pub(super) control: &'f str,
}

impl Failure<'_> {
    /// Its last crash state is laid out in `image`, its story told, what was done is the evidence.
    ///
    /// # Errors
    /// If that cannot be written, or the machine fails.
    pub(super) fn keep(self, store: &mut dyn Store, image: &Path) -> io::Result<Finding> {
        // Where the machine fails now, or an end is asked for, the page lacks a section, and the finding is kept.
        let shown = self.shown(store, image).unwrap_or_default();
        let Self {
            lives,
            past,
            crash,
            violation,
            events,
            control,
        } = self;
        remove_dir(image)?;
        lives.crash_state()?.lay_out(image)?;
        let broken = Broken { violation, shown };
        let entry = |id| store.entry_name(id);
        let promised = Promised {
            past,
            events: &events,
            entry: &entry,
        };
        let told = format!(
            "{}{}\nThe crash leaves, in `image/`:\n\n{}\n{control}",
            lives.tell(&entry)?,
            promised.tell(&broken),
            files_in(image)?,
        );
        Ok(store
            .finding(crash, broken.violation, events)
            .at(lives.point()?)
            .with_image(image)
            .and_story(&told)
            .with_evidence(lives))
    }

    /// What recovery shows of the promise that it breaks, if it comes to its end.
    fn shown(&self, store: &mut dyn Store, dir: &Path) -> io::Result<Option<Vec<Survivor>>> {
        if matches!(self.violation, Violation::Broken { .. }) {
            return Ok(None);
        }
        remove_dir(dir)?;
        self.lives.crash_state()?.lay_out(dir)?;
        if self.lives.is_damaged() {
            return Ok(match store.recover_damaged(dir)? {
                Damaged::Served(survivors) => Some(survivors),
                Damaged::Refused | Damaged::Broken(_) => None,
            });
        }
        let recovered = store.recover(dir, false)?;
        store.release();
        Ok(recovered.ok())
    }
}
