//! Crashes that come before a store has acknowledged anything.

use std::ops::Range;

use crate::history::Event;
use crate::plan::Plan;

/// Whether crashes are looked at before a first acknowledgement in a directory: while a store comes about, it
/// has promised nothing of what it holds, but it must open again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Early {
    is_skipped: bool,
}

impl Early {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            is_skipped: plan.lifespan.after_ack,
        }
    }

    /// Whether a crash is passed over. Of a life behind another one, none is.
    pub(crate) fn skips(self, is_first_life: bool, events: &[Event]) -> bool {
        self.is_skipped && is_first_life && !events.iter().any(|event| event.ack().is_some())
    }

    /// The first of some moments that is not passed over; their end, if all are.
    pub(crate) fn first(
        self,
        is_first_life: bool,
        mut moments: Range<usize>,
        events_at: impl Fn(usize) -> Vec<Event>,
    ) -> usize {
        let (from, end) = (moments.start, moments.end);
        if !self.is_skipped || !is_first_life {
            return from;
        }
        let acknowledged = moments.find(|moment| !self.skips(true, &events_at(*moment)));
        acknowledged.unwrap_or(end)
    }
}
