//! What recovery must show.
//!
//! An oracle knows what was announced and what earlier recoveries showed; it is asked about each
//! crash state, and moves on to the next generation with what it saw. It trusts nothing that died
//! with the writer.

mod key_value;
mod log;
mod rules;
mod stage;
mod violation;

pub use key_value::KeyValueOracle;
pub use log::LogOracle;
pub use rules::Oracle;
pub(crate) use rules::copy;
pub use stage::Stage;
pub use violation::Violation;
