//! A crash-consistency testing framework. It kills a store's writers at random instants, then
//! checks what recovery brings back against what had been acknowledged.
//!
//! Four parts, one word each:
//!
//! - A [`Subject`] is what you implement: `write` opens your store and appends until the process is
//!   killed, telling the [`Recorder`] what happens; `recover` opens what is left and reports every
//!   surviving entry.
//! - A [`CrashKind`] is how it dies.
//! - The [`history`] outlives the kill: events in memory that is shared with the harness.
//! - The [`oracle`] knows the promises: nothing acknowledged is lost, nothing is invented, mangled,
//!   doubled or out of order, there are no holes, recovering again gives the same, and what one
//!   recovery showed no later one loses.
//!
//! A torture binary is three lines:
//!
//! ```no_run
//! # use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};
//! # struct MyStore;
//! # impl Subject for MyStore {
//! #     fn name(&self) -> &str { "my-store" }
//! #     fn write(&self, _: &WriteRun) -> Result<(), SubjectError> { Ok(()) }
//! #     fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> { Ok(()) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     plugpull::cli::main(&[Box::new(MyStore)])
//! }
//! ```
//!
//! What a kill cannot find: a missing fsync. The page cache survives the process; measured, 200
//! unsynced writes and a kill lose none.
//!
//! Linux only: it uses memfd, `/proc` and the parent-death signal.

#![cfg(target_os = "linux")]

mod child;
pub mod cli;
mod crash;
mod failure;
pub mod history;
pub mod oracle;
pub mod report;
mod scratch;
mod subject;
mod tally;
pub mod torture;
pub mod workload;

pub use crash::CrashKind;
pub use failure::Failure;
pub use history::Recorder;
pub use subject::{RecoverRun, Subject, SubjectError, Survivor, Survivors, WriteRun};
pub use tally::Tally;
pub use workload::{Action, ActionKind, Workload};
