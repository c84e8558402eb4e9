//! The state of a directory: every node in it, with its metadata.
//!
//! One place decides what belongs to that state, for images in memory, for copies, and for what a
//! simulated file system writes out:
//!
//! - Files with their bytes and holes, directories, symbolic links, FIFOs, sockets and devices; several
//!   names of one file stay several names of one file. Names need not be UTF-8.
//! - Modes, owners, groups and extended attributes. Labels of the system's own policy (`security.*`, but
//!   for capabilities) do not belong to it.
//! - Times of modification are kept and restored, but not compared: every write moves them, so a state
//!   would never be like another one. Holes are not compared either: the bytes are the same.
//!
//! Nothing here follows a symbolic link below the directory, or waits for the other end of a FIFO. A
//! device can be made by root only; for an ordinary user it is an error that names the path, as only
//! another user can have put it into the directory.

mod content;
mod copy;
mod error;
mod holes;
mod kind;
mod metadata;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub(crate) use content::Content;
pub(crate) use copy::copy_dir;
pub(crate) use kind::Kind;
pub(crate) use metadata::Metadata;
pub(crate) use walk::{Found, Identity, find, walk};
pub(crate) use writer::Writer;
