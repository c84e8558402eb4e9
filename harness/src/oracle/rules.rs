//! The rules of a store: what every oracle can do.

use serde_json::Value;

use super::violation::Violation;
use crate::history::Event;
use crate::survivor::Survivor;

/// The promises of a store. Bring your own by [`Subject::oracle`](crate::Subject::oracle).
pub trait Oracle: Send {
    /// Checks what one recovery shows after a generation with these events.
    ///
    /// # Errors
    /// The first broken promise.
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation>;

    /// Moves on to the next generation: what this recovery showed may never be lost.
    fn advance(&mut self, events: &[Event], survivors: &[Survivor]);

    /// The bytes have been damaged, and nothing that is left of them vouches for what stands at this
    /// position or above: it may be lost from now on, though not changed. An oracle to which that
    /// means nothing excuses nothing.
    fn excuse(&mut self, _from: u64) {}

    /// A clone, if the oracle can make one: `Some(Box::new(self.clone()))`. Without one it is copied
    /// by [`save`](Self::save) and [`restore`](Self::restore), once for each crash that is explored
    /// further: slower.
    fn boxed_clone(&self) -> Option<Box<dyn Oracle>> {
        None
    }

    /// What it knows, for a saved failure.
    fn save(&self) -> Value;

    /// Takes up what [`save`](Self::save) returned.
    ///
    /// # Errors
    /// If it was saved by another oracle.
    fn restore(&mut self, saved: Value) -> serde_json::Result<()>;
}

/// A copy of an oracle; `fresh` makes one that knows nothing yet.
pub(crate) fn copy(
    oracle: &dyn Oracle,
    fresh: impl FnOnce() -> Box<dyn Oracle>,
) -> Box<dyn Oracle> {
    oracle.boxed_clone().unwrap_or_else(|| {
        let mut copy = fresh();
        let restored = copy.restore(oracle.save());
        restored.expect("an oracle reads what it saved");
        copy
    })
}
