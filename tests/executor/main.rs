//! The blocking engine on an executor of the user's: whatever becomes of the work, at once, later,
//! elsewhere or never, nothing hangs and the log says what happened.

mod closing;
mod dropped;
mod executors;
mod in_place;
mod simulation;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
