//! A log's directory: who owns it, and the making, keeping and recycling of segment files.
//!
//! Everything goes through one descriptor of the directory, taken when the log is opened: a log whose
//! directory is renamed goes on there. Before a name is changed, LOCK must still be the file that this
//! process has locked. If it is not, another log is at work under these names, or the directory is
//! gone; the log stops instead of touching what may not be its own. Between that look and the change
//! of a name another process can still come: no file system has a call that does both at once.

mod files;
mod locking;
mod owned;
mod retire;

pub(crate) use self::files::{Files, PrepareError};
pub(crate) use self::locking::wake;
pub(crate) use self::owned::Directory;
