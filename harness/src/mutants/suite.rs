//! What a torture binary says of its mutants.

use std::path::{Path, PathBuf};

use super::catcher::Catcher;

/// A collection of mutants, and who looks at them.
#[derive(Clone, Debug)]
pub struct Mutants {
    pub(super) tree: PathBuf,
    pub(super) patches: PathBuf,
    pub(super) touching: Vec<PathBuf>,
    pub(super) catchers: Vec<Catcher>,
    /// How a page is told to have been written.
    pub(super) called: String,
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

    pub(super) fn catcher_named(&self, name: &str) -> Option<&Catcher> {
        self.catchers.iter().find(|catcher| catcher.name == name)
    }

    /// The catchers' names, for a message.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.catchers.iter().map(|it| it.name.as_str()).collect();
        names.join(", ")
    }

    /// Copies and builds live below the tree, where `cargo clean` finds them.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.tree.join(Path::new("target/mutants"))
    }
}
