//! The tester tested: known bugs are put back into a store, and a catcher must notice.
//!
//! A *mutant* is a patch with a header that tells its story and names its *catchers*: crash kinds,
//! test binaries, commands. A torture binary that has some gets a subcommand `mutants`:
//!
//! ```no_run
//! # use plugpull::{CrashKind, RecoverRun, Subject, SubjectError, Survivors, WriteRun};
//! # struct MyStore;
//! # impl Subject for MyStore {
//! #     fn name(&self) -> &str { "my-store" }
//! #     fn write(&self, _: &WriteRun) -> Result<(), SubjectError> { Ok(()) }
//! #     fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> { Ok(()) }
//! # }
//! use plugpull::mutants::{Catcher, Mutants};
//!
//! fn main() -> std::process::ExitCode {
//!     let mutants = Mutants::new(env!("CARGO_MANIFEST_DIR"), "mutants")
//!         .touching("src")
//!         .catcher(Catcher::torture(CrashKind::Syscall, "my-torture", "my-store"))
//!         .catcher(Catcher::tests("tests", "my-store", &["recovery"]));
//!     plugpull::cli::main_with(&[Box::new(MyStore)], &mutants)
//! }
//! ```
//!
//! The header of a patch, up to its first `diff --git`:
//!
//! ```text
//! a group is acknowledged before its sync
//!
//! hazard: acknowledged too early
//! caught-by: power, tests(recovery)
//! missed-by: kill, syscall: the page cache survives a kill
//!
//! What is lost, and why, in prose.
//! ```
//!
//! `docs/mutants.md` tells how to write one, and what the matrix means.

mod answer;
mod build;
mod catcher;
mod command;
mod look;
mod matrix;
mod patch;
mod process;
mod result;
mod run;
mod suite;
mod tree;

pub use catcher::Catcher;
pub(crate) use command::{MutantsArgs, NAME, command, run};
pub use suite::Mutants;
