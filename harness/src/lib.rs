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
//! In a test:
//!
//! ```no_run
//! # use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};
//! # struct MyStore;
//! # impl Subject for MyStore {
//! #     fn name(&self) -> &str { "my-store" }
//! #     fn write(&self, _: &WriteRun) -> Result<(), SubjectError> { Ok(()) }
//! #     fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> { Ok(()) }
//! # }
//! #[test]
//! fn my_store_survives_a_kill() {
//!     plugpull::Torture::new(MyStore).seed(1).run().unwrap();
//! }
//! ```
//!
//! The writer processes are the same test, started again by its name.
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

// An example is a module of a test in here, and calls this crate by its name.
#[cfg(test)]
extern crate self as plugpull;

mod ablate;
mod again;
mod campaign;
pub mod cli;
mod crash_kind;
pub mod disk;
mod doctor;
mod environment;
mod failures;
mod file_role;
mod finding;
mod hang;
pub mod history;
mod ignored;
mod image;
mod injection;
mod kinds;
mod known;
mod lifespan;
pub mod litmus;
mod look_again;
mod loss;
mod memory_file;
mod mount;
pub mod mutants;
pub mod oracle;
mod owner;
mod pages;
mod plan;
mod planned_fault;
mod process;
mod prose;
mod quantity;
mod quoted_error;
mod reached;
mod recorder;
mod regressions;
mod report;
mod roles;
mod scratch;
mod shard;
mod shrink;
mod shrink_progress;
pub mod sim;
mod stop;
mod store;
mod subject;
mod survivor;
mod tally;
mod torture;
pub mod trace;
mod tree;
pub mod workload;

pub use ablate::{
    AblatedSync, Ablation, AblationReport, CodePlace, Hits, Notice, ProfileTrial, SyncKind,
    SyncOutcome, SyncSite,
};
pub use crash_kind::CrashKind;
pub use finding::Finding;
pub use history::Recorder;
pub use kinds::Generation;
pub use loss::{Cuts, KillPoint};
pub use plan::Budget;
pub use planned_fault::PlannedFault;
pub use reached::Reached;
pub use recorder::RecorderKind;
pub use report::{Coverage, Row, SavedFailure};
pub use roles::obey_orders;
pub use store::{BlackBox, BlackBoxOracle, UnderTest};
pub use subject::{
    PrepareRun, RecoverRun, SimPrepareRun, SimRecoverRun, SimWriteRun, Simulated, Subject,
    SubjectError, WriteRun,
};
pub use survivor::{Survivor, Survivors};
pub use tally::Tally;
pub use torture::{Failure, Report, Torture};
pub use workload::{Action, ActionKind, Workload};
