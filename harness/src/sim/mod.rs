//! A POSIX file system in memory that forgets what was not synced.
//!
//! [`SimFs`] has the calls of [`std::fs`]; a store that goes through a seam of its own adapts it, one
//! that wants a ready-made seam takes [`FileSystem`]. At any moment [`SimFs::crash_clone`] gives a new
//! file system as a power cut would leave it, and the run goes on undisturbed:
//!
//! ```
//! use plugpull::sim::{Profile, SimFs};
//!
//! let fs = SimFs::new(Profile::Strict, 1);
//! fs.write("/greeting", b"hello")?;
//! fs.sync_dir("/")?;
//! // The name is durable, the bytes are not: every outcome is possible.
//! let outcomes: Vec<Vec<u8>> = (0..100)
//!     .map(|seed| fs.crash_sample(seed).read("/greeting"))
//!     .collect::<Result<_, _>>()?;
//! assert!(outcomes.contains(&b"hello".to_vec()) && outcomes.contains(&b"".to_vec()));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It is one moment in memory that can be cloned for next to nothing: pages, files and directories
//! are shared until they change. So one run, recorded once, gives any number of crash states.

mod act;
mod attributes;
mod byte_calls;
mod bytes;
mod change;
mod choice;
mod content;
mod crash;
mod dir;
mod disk;
mod failed_sync;
mod fault;
mod file;
mod focus;
mod follow;
mod fs;
mod layout;
mod metadata;
mod metadata_calls;
mod name_calls;
mod names;
mod nodes;
mod options;
mod past;
mod path;
mod possible;
#[cfg(test)]
mod possible_tests;
mod profile;
mod record;
mod rot;
mod stat;
mod state;
mod sync;
mod vfs;

pub use choice::{Chooser, Question, Replayed};
pub use content::{PAGE_BYTES, SECTOR_BYTES};
pub use dir::SimDir;
pub use fault::{Fault, FaultKind};
pub use file::SimFile;
pub use fs::SimFs;
pub use options::OpenOptions;
pub use profile::Profile;
pub use stat::{NodeKind, Stat};
pub use vfs::{FileHandle, FileSystem, OsFs};

pub(crate) use act::{Act, Bytes};
pub(crate) use change::Setting;
pub(crate) use choice::{Narrator, Odometer, Sampler};
pub(crate) use disk::Disk;
pub(crate) use focus::{Focus, Noted};
pub(crate) use follow::Follower;
pub(crate) use nodes::{Ino, Node, Place, ROOT};
pub(crate) use past::Past;
pub(crate) use possible::Possible;
pub(crate) use record::{Call, Recording};
pub(crate) use rot::Damage;
pub(crate) use state::{Role, SyncFilter};
