//! The tests that are over in a moment, as one binary: what `cargo mutants` builds and runs for each change
//! that it makes to the source. `cargo test` runs the same files one by one, so it leaves this out.

// Each of them has the support module for itself, as in a binary of its own.
#[path = "../builder.rs"]
mod builder;
#[path = "../cancel.rs"]
mod cancel;
#[path = "../damage.rs"]
mod damage;
#[path = "../faults.rs"]
mod faults;
#[path = "../format.rs"]
mod format;
#[path = "../interrupted.rs"]
mod interrupted;
#[path = "../missing.rs"]
mod missing;
#[path = "../model.rs"]
mod model;
#[path = "../options.rs"]
mod options;
#[path = "../properties.rs"]
mod properties;
#[path = "../reading.rs"]
mod reading;
#[path = "../recovery.rs"]
mod recovery;
#[path = "../replay.rs"]
mod replay;
#[path = "../runtimes.rs"]
mod runtimes;
#[path = "../salvage.rs"]
mod salvage;
#[path = "../segments.rs"]
mod segments;
#[path = "../spares.rs"]
mod spares;
