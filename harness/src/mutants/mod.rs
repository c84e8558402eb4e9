//! The tester tested: known bugs are put back into a store, and somebody must notice.
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

mod catcher;
mod command;
mod matrix;
mod patch;
mod process;
mod result;
mod run;
mod tree;

use std::path::{Path, PathBuf};

pub use catcher::Catcher;
pub(crate) use command::{MutantsArgs, NAME, command, run};

/// A collection of mutants, and who looks at them.
#[derive(Clone, Debug)]
pub struct Mutants {
    tree: PathBuf,
    patches: PathBuf,
    touching: Vec<PathBuf>,
    catchers: Vec<Catcher>,
    /// How a page is told to have been written.
    called: String,
}

impl Mutants {
    /// The `*.patch` files in `patches`, for the working tree at `tree`, which must be one of git's.
    /// `patches` and the names in the patches are relative to `tree`.
    pub fn new(tree: impl Into<PathBuf>, patches: impl Into<PathBuf>) -> Self {
        Self {
            tree: tree.into(),
            patches: patches.into(),
            touching: Vec::new(),
            catchers: Vec::new(),
            called: "torture mutants".to_owned(),
        }
    }

    /// Mutants may change files below this folder. Nothing else is allowed: name each that it takes.
    #[must_use]
    pub fn touching(mut self, folder: impl Into<PathBuf>) -> Self {
        self.touching.push(folder.into());
        self
    }

    /// Adds one who may notice. Their order is that of the matrix's columns.
    #[must_use]
    pub fn catcher(mut self, catcher: Catcher) -> Self {
        self.catchers.push(catcher);
        self
    }

    /// How people call the command, for the first line of `--markdown`: `cargo torture mutants`.
    #[must_use]
    pub fn called(mut self, command: impl Into<String>) -> Self {
        self.called = command.into();
        self
    }

    fn catcher_named(&self, name: &str) -> Option<&Catcher> {
        self.catchers.iter().find(|catcher| catcher.name == name)
    }

    /// The catchers' names, for a message.
    fn names(&self) -> String {
        let names: Vec<&str> = self.catchers.iter().map(|it| it.name.as_str()).collect();
        names.join(", ")
    }

    /// Copies and builds live below the tree, where `cargo clean` finds them.
    fn work_dir(&self) -> PathBuf {
        self.tree.join(Path::new("target/mutants"))
    }
}
