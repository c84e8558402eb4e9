//! What was announced before each act.
//!
//! A store to a mapped file is no request: it shows when its page is written back. So while files are
//! mapped, what was claimed counts only after their pages have been written back since.

use std::io;
use std::sync::Arc;

use crate::store::{Announcer, Mark, Span};

/// The announcements around each act of a run.
pub(crate) struct Marks {
    announcer: Arc<dyn Announcer>,
    /// What was claimed before all pages were last written back. `None`: no file is mapped.
    settled: Option<Mark>,
    pub(crate) spans: Vec<Span>,
}

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marks")
            .field("spans", &self.spans.len())
            .finish_non_exhaustive()
    }
}

impl Marks {
    pub(crate) fn new(announcer: Arc<dyn Announcer>) -> Self {
        Self {
            announcer,
            settled: None,
            spans: Vec::new(),
        }
    }

    /// Before an act.
    pub(super) fn note(&mut self) -> io::Result<()> {
        let now = self.announcer.mark()?;
        let claims = self.settled.clone().unwrap_or_else(|| now.clone());
        self.spans.push(Span {
            claims,
            attempts: now,
        });
        Ok(())
    }

    /// A file is mapped for the first time: nothing was stored in one before.
    pub(super) fn begin_mapping(&mut self) -> io::Result<()> {
        if self.settled.is_none() {
            self.settled = Some(self.announcer.mark()?);
        }
        Ok(())
    }

    pub(super) fn has_mappings(&self) -> bool {
        self.settled.is_some()
    }

    /// Whether something has been announced.
    pub(super) fn has_spoken(&self) -> io::Result<bool> {
        Ok(self.announcer.heard()? > 0)
    }

    /// What has been announced by now.
    pub(super) fn now(&self) -> io::Result<Mark> {
        self.announcer.mark()
    }

    /// What was stored before this mark has been written back.
    pub(super) fn settle(&mut self, mark: Mark) {
        self.settled = Some(mark);
    }
}
