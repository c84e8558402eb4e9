//! How a group reaches the disk, and on which thread.
//!
//! An engine is handed a [`Flush`] it owns and must bring it to an end, on whatever thread or ring
//! it likes; the group learns the outcome through the flush itself. The group's bytes are in the
//! flush's buffer, which is aligned for `O_DIRECT` and lives as long as the flush does: an engine
//! that completes asynchronously keeps the flush until the kernel is done with its memory.

mod blocking;
mod choose;
mod inline;
mod linger;
mod pool;
#[cfg(target_os = "linux")]
mod uring;
#[cfg(not(target_os = "linux"))]
#[path = "no_uring.rs"]
mod uring;
mod workers;
mod writer;

pub(crate) use self::choose::{choose, to_open};
pub(crate) use self::writer::{Engine, Writer};
