//! The simulated file system against a real one: as long as nothing crashes, no program can tell
//! them apart.

mod calls;
mod metadata;
mod programs;
mod std_calls;
mod told;
mod view;
