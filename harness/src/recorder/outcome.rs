//! What came of a recorded run, as its store tells it.

use std::io;

use crate::oracle::{Stage, Violation};
use crate::store::{Announced, Stop, Store, Watched};
use crate::survivor::Survivor;

/// What a run announced, or showed, and what it did wrong by itself.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) announced: Announced,
    pub(super) failed: Option<Violation>,
    pub(super) recovered: Option<Vec<Survivor>>,
}

impl Outcome {
    /// Of a run that was a recovery, or a writer. `has_met_fault`: its disk has failed.
    pub(super) fn of(
        store: &mut dyn Store,
        watched: &Watched,
        is_recovery: bool,
        has_met_fault: bool,
    ) -> io::Result<Self> {
        if is_recovery {
            let (failed, recovered) = match store.recovered(watched)? {
                Ok(survivors) => (None, Some(survivors)),
                Err(violation) => (Some(violation), None),
            };
            return Ok(Self {
                announced: Announced::Nothing,
                failed,
                recovered,
            });
        }
        let written = store.written(watched)?;
        // A store may stop working when its disk does, if it stops.
        let is_excused = has_met_fault && watched.stop == Stop::Ended;
        let failed = written
            .failed
            .filter(|failed| !(is_excused && is_an_end(failed)));
        Ok(Self {
            announced: written.announced,
            failed,
            recovered: None,
        })
    }
}

/// Whether a writer has done nothing wrong but to end with an error.
fn is_an_end(failed: &Violation) -> bool {
    let ends = [Stage::WriterStopped, Stage::WriterFailed];
    matches!(failed, Violation::Broken { stage, .. } if ends.contains(stage))
}
