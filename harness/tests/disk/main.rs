//! Loss of power on real file systems: what was synced stays, what was not may go, and nothing of
//! ours is left behind.
//!
//! Needs root, FUSE, loop devices and the `mkfs` programs. Where one is missing, the tests say so and
//! pass.

mod examiner;
mod left_behind;
mod machine;
mod program;
mod requests;
mod states;
