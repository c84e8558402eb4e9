//! Directories in memory.

mod directory;
mod mirror;

pub(crate) use directory::Image;
pub(crate) use mirror::Mirror;
