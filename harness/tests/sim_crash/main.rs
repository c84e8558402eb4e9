//! What a power cut may leave on the simulated file system, and what it may not: sets of outcomes,
//! written out; what real file systems did; laws that hold whatever the program does.

mod bytes;
mod directories;
mod failed_syncs;
mod faults;
mod laws;
mod measured;
mod metadata;
mod names;
mod outcomes;
mod program;
mod sizes;
