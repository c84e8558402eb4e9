//! Changes that are not durable yet.

use std::fmt;
use std::sync::Arc;

use super::nodes::{Ino, Names, Place};

/// A change of names that is not durable. A rename has both halves.
#[derive(Clone, Debug)]
pub(crate) struct NameChange {
    pub(crate) op: u64,
    pub(crate) node: Ino,
    pub(crate) removed: Option<Place>,
    pub(crate) added: Option<Place>,
    /// The node is new.
    pub(crate) creates: bool,
}

impl NameChange {
    /// Whether it gives away a name that a file had before a rename: that file would be lost without
    /// its new name.
    pub(super) fn needs(&self, earlier: &Self) -> bool {
        let is_rename = earlier.added.is_some() && earlier.removed.is_some();
        is_rename && self.added == earlier.removed
    }

    /// Carries the change out on the names of the directories that it concerns.
    pub(crate) fn apply(&self, mut in_dir: impl FnMut(Ino, &dyn Fn(&mut Names))) {
        if let Some(Place { dir, name }) = &self.removed {
            // Only its own name: somebody else may have got it.
            in_dir(*dir, &|names| {
                if names.get(name) == Some(&self.node) {
                    names.remove(name);
                }
            });
        }
        if let Some(Place { dir, name }) = &self.added {
            in_dir(*dir, &|names| {
                names.insert(Arc::clone(name), self.node);
            });
        }
    }
}

impl fmt::Display for NameChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.removed, &self.added) {
            (Some(from), Some(to)) => write!(f, "the rename of `{}` to `{}`", from.name, to.name),
            (None, Some(new)) => write!(f, "the name `{}`", new.name),
            (Some(old), None) => write!(f, "the removal of the name `{}`", old.name),
            (None, None) => f.write_str("nothing"),
        }
    }
}
