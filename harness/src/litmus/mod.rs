//! What real file systems keep when the power goes, beside what the simulated ones may lose.
//!
//! A litmus is a program of a few file system calls, written once. It runs on a real file system on
//! a recorded disk, where crashes after its end are mounted and looked at, and on the simulated one,
//! where every outcome that a [`Profile`](crate::sim::Profile) allows is enumerated. A profile
//! that allows less than reality is a mistake in the profile: a store that passes there could lose
//! data in the field.
//!
//! ```no_run
//! use plugpull::disk::FileSystem;
//! use plugpull::litmus::{Bench, Litmus, allowed, profile_of};
//!
//! # fn main() -> std::io::Result<()> {
//! let ext4 = FileSystem::ext4();
//! let mut bench = Bench::new(&ext4, &std::env::temp_dir(), 1)?;
//! for litmus in Litmus::all() {
//!     let seen = bench.observe(&litmus)?;
//!     let allowed = allowed(&litmus, profile_of(ext4.kind))?;
//!     assert!(seen.keys().all(|outcome| allowed.contains(outcome)));
//! }
//! # Ok(()) }
//! ```
//!
//! From the bottom to the top: a [`Stage`] is where a program runs, and what it reads there is put
//! into few words; [`Litmus`] is a program; [`allowed`] asks a profile, a [`Bench`] asks the kernel;
//! `torture litmus` sets the answers side by side.
//!
//! # What it cannot find
//! Losses that take more time or memory pressure than a few milliseconds have. That the kernel wrote
//! something back at a moment of its own choice is not waited for but brought about: see [`Ending`].
//! It is brought about after the program's end only, never between two of its calls.

mod bench;
mod bytes;
mod catalogue;
mod command;
mod kernel;
mod model;
mod names;
mod program;
mod renames;
mod report;
mod stage;

pub use bench::{Bench, Ending, Seen};
pub(crate) use command::{EXAMPLES, LitmusArgs, run};
pub use model::{allowed, profile_of};
pub use program::Litmus;
pub use stage::Stage;
