//! What the fuzz targets do with their input. The targets themselves are one line each, so that a
//! crash found by one can be run by the `seed` program's compiler too.

#[path = "../../tests/support/mod.rs"]
pub mod support;

pub mod differential;
pub mod entry;
pub mod frame;
pub mod muopdb;
pub mod naive;
pub mod recover;

/// A target's name and what it does with its input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("differential", differential::run),
    ("entry", entry::run),
    ("frame", frame::run),
    ("muopdb", muopdb::run),
    ("recover", recover::run),
];
