//! What the fuzz targets do with their input. The targets themselves are one line each, so that a
//! crash found by one can be run by the `seed` program's compiler too.

#[path = "../../tests/support/mod.rs"]
pub mod support;

pub mod entry;
pub mod frame;
pub mod recover;
