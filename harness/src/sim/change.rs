//! Changes that are not durable yet.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::nodes::{Ino, Names, Place};
use crate::tree::Metadata;

/// A change of names that is not durable. A rename has both halves.
#[derive(Clone, Debug)]
pub(crate) struct NameChange {
    pub(crate) op: u64,
    pub(crate) node: Ino,
    pub(crate) removed: Option<Place>,
    pub(crate) added: Option<Place>,
    /// The node is new.
    pub(crate) creates: bool,
    /// It is one half of an exchange: the other one has the same operation, and goes with it.
    pub(crate) exchanges: bool,
}

impl NameChange {
    /// Whether the two are one exchange.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        self.exchanges && other.exchanges && self.op == other.op
    }

    /// Whether it gives away a name that a file had before a rename: that file would be lost without
    /// its new name.
    pub(super) fn needs(&self, earlier: &Self) -> bool {
        earlier.is_rename() && self.added == earlier.removed
    }

    /// Whether a later change may need it, or go with it. Thousands of files that are made or removed are none
    /// of those.
    pub(super) fn can_be_needed(&self) -> bool {
        self.is_rename() || self.exchanges
    }

    pub(super) fn is_rename(&self) -> bool {
        self.added.is_some() && self.removed.is_some()
    }

    /// Carries the change out on the names of the directories that it concerns.
    pub(crate) fn apply(&self, mut in_dir: impl FnMut(Ino, &dyn Fn(&mut Names))) {
        if let Some(Place { dir, name }) = &self.removed {
            // Only its own name: another node may have got it.
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

/// A change of a node's metadata that is not durable.
#[derive(Clone, Debug)]
pub(crate) struct MetadataChange {
    pub(crate) op: u64,
    pub(crate) node: Ino,
    pub(crate) setting: Setting,
}

/// One piece of metadata that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setting {
    Mode(u32),
    /// What is `None` stays as it is.
    Owner(Option<u32>, Option<u32>),
    Modified(SystemTime),
    Xattr(OsString, Vec<u8>),
    NoXattr(OsString),
}

impl Setting {
    pub(crate) fn apply(&self, metadata: &mut Metadata) {
        match self {
            Self::Mode(mode) => metadata.mode = Some(*mode),
            Self::Owner(owner, group) => {
                metadata.owner = owner.or(metadata.owner);
                metadata.group = group.or(metadata.group);
            }
            Self::Modified(modified) => metadata.modified = Some(*modified),
            Self::Xattr(name, value) => {
                metadata.xattrs.insert(name.clone(), value.clone());
            }
            Self::NoXattr(name) => drop(metadata.xattrs.remove(name)),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode {mode:o}"),
            Self::Owner(Some(owner), Some(group)) => write!(f, "owner {owner} and group {group}"),
            Self::Owner(Some(owner), None) => write!(f, "owner {owner}"),
            Self::Owner(None, Some(group)) => write!(f, "group {group}"),
            Self::Owner(None, None) => f.write_str("owner"),
            Self::Modified(_) => f.write_str("time of modification"),
            Self::Xattr(name, _) => write!(f, "attribute {}", name.display()),
            Self::NoXattr(name) => write!(f, "removal of the attribute {}", name.display()),
        }
    }
}
