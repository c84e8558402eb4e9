//! groupwal in untidy surroundings: its directory is renamed while it is used, its disk is full until it is
//! trimmed, and it is closed and opened again with other options.
//!
//! Besides what every log owes, its writer checks two promises about a full disk: a trim that frees a segment
//! succeeds, and then an append does. What breaks them is an error of the writer. An error proves nothing
//! while the disk itself fails, so the crash kinds excuse it there.

mod home;
mod process;
mod relief;
mod sizes;
mod subject;

pub use self::subject::Untidy;
