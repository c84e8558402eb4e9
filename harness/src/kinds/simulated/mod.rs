//! `power`, `fault` and `rot`: everything on the simulated file system, in this process.
//!
//! A run is recorded once, with the disk before each of its operations; then any number of crash
//! states are made from it, recovered and checked, without running the writer again. A round begins
//! with an empty disk and depends on its number and the seed alone, so the same seed gives the same
//! rounds, however many threads share them.

mod decay;
mod explore;
mod keep;
mod kinds;
mod prepared;
mod rounds;
mod search;
mod shrink;
mod simulation;
mod story;
mod timeline;
mod watch;
mod world;

pub(super) use self::kinds::{Fault, Power, Rot};

pub(crate) use self::simulation::Simulation;
pub(crate) use self::world::keep_panics_quiet;
