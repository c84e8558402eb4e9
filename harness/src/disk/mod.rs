//! Loss of power on a real ext4, XFS or Btrfs: no kernel module, no reboot.
//!
//! A disk is a FUSE file system with one file, under a loop device. What a file system does to it is
//! recorded: writes, discards and flushes, in the order of the answers, on a clock that the program
//! under test can read. From a recording follow the images that a loss of power could have left at
//! any moment, and an [`Examiner`] mounts them one after another, hundreds a second.
//!
//! ```no_run
//! use std::sync::{Arc, atomic::AtomicU64};
//! use plugpull::disk::{Crashes, Disk, Examiner, FileSystem, Image, Sampling, Site};
//!
//! # fn main() -> std::io::Result<()> {
//! let ext4 = FileSystem::ext4();
//! let site = Site::enter(&std::env::temp_dir())?;
//! let disk = Disk::new(&site, Image::zeros(ext4.bytes), Arc::new(AtomicU64::new(0)))?;
//! disk.format(&ext4)?;
//! let (wrote, recording) = disk.record(&ext4, |dir| std::fs::write(dir.join("file"), "hello"))?;
//! wrote?;
//!
//! let crashes = Crashes::new(&recording, &Sampling::seeded(1));
//! let mut examiner = Examiner::new(&site, &ext4)?;
//! for state in crashes.states() {
//!     let image = crashes.image(&state.outcome).expect("of this recording");
//!     let found = examiner.with_mounted(&image, |dir| std::fs::read(dir.join("file")).ok())?;
//!     println!("a crash at {} leaves {found:?}", state.index());
//! }
//! # Ok(()) }
//! ```
//!
//! From the bottom to the top: [`Image`] is a disk's content; [`Request`], [`Entry`] and
//! [`Recording`] are what a disk was asked, and say what is durable when; [`Crashes`] are the images
//! that follow; [`FaultPlan`] lets requests fail; [`Site`] is where all is mounted, seen by nobody
//! else and gone with the process; [`Disk`] and [`Examiner`] are what to work with.
//!
//! # What it cannot find
//! What a disk does wrong: this one keeps its promises. What a file system would do with more memory
//! pressure, or a larger disk. Which order of concurrent requests another disk would have chosen: a
//! loop device asks for one thing at a time.
//!
//! # What it needs
//! Root, `/dev/fuse`, loop devices, Linux 5.9, and the programs that make the file systems: see
//! [`available`].

mod archive;
mod choice;
mod core;
mod device;
mod epoch;
mod error;
mod examiner;
mod faults;
mod file_system;
mod helper;
mod holders;
mod identity;
mod image;
mod loop_device;
mod mounted;
mod nodes;
mod one_file;
mod patience;
mod probe;
mod record;
mod room;
#[cfg(test)]
mod rules;
mod serve;
mod shortage;
mod site;
mod states;
mod sys;
mod zram;

pub use choice::Sampling;
pub use device::Disk;
pub use epoch::{Kept, Outcome};
pub(crate) use error::doing;
pub use error::is_mount_refused;
pub use examiner::{Examiner, Method, Spent};
pub use faults::FaultPlan;
pub(crate) use file_system::mkfs;
pub use file_system::{FileSystem, FileSystemKind};
pub(crate) use identity::ORDER_VARIABLE;
pub use image::{Image, PAGE_BYTES, SECTOR_BYTES};
pub use mounted::Mounted;
pub use probe::{available, features};
pub use record::{Clock, Entry, Recording, Request};
pub(crate) use room::ran_out;
pub(crate) use serve::{Served, Serving};
pub(crate) use shortage::shortage;
pub use site::Site;
pub use states::{CrashState, Crashes};
pub(crate) use sys::write_back;
