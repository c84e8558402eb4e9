//! Directories in memory.

mod directory;
mod mirror;

pub(crate) use directory::{Entry, Image};
pub(crate) use mirror::Mirror;
