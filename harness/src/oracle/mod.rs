//! What recovery must show.
//!
//! An oracle knows what was announced and what earlier recoveries showed; it is asked about each
//! crash state, and moves on to the next generation with what it saw. It trusts nothing that died
//! with the writer.

mod key_value;
mod log;
mod violation;

use serde_json::Value;

pub use key_value::KeyValueOracle;
pub use log::LogOracle;
pub use violation::Violation;

use crate::history::Event;
use crate::subject::Survivor;

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

    /// What it knows, for a saved failure.
    fn save(&self) -> Value;

    /// Takes up what [`save`](Self::save) returned.
    ///
    /// # Errors
    /// If it was saved by another oracle.
    fn restore(&mut self, saved: Value) -> serde_json::Result<()>;
}
