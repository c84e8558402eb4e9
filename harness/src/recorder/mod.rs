//! Recorders: each turns one run of a store into a recording, the operations in the order in which
//! they took effect and what had been announced before each.
//!
//! | recorder | how | recording |
//! |---|---|---|
//! | `seam` | the simulated file system, in this process | `kinds::simulated::world::Lived` |
//! | `trace` | ptrace: a copy of the directory at every system call | [`Traced`] |
//! | `trace`, followed | the same, and a simulated file system that does it again | [`Followed`] |
//! | `mount` | a simulated file system that is mounted | [`Followed`] |
//! | `device` | a recorded block device under a real file system | [`OnDevice`] |

mod changes;
mod contract;
mod copier;
mod device;
mod elsewhere;
mod faults;
mod followed;
mod mount;
mod name;
mod on_image;
mod outcome;
mod supervised;
mod sync_call;
#[cfg(test)]
mod tests;
mod trace;
mod watch;

pub(crate) use changes::changes;
pub(crate) use contract::{Disks, Recorder, Recording, Run};
pub(crate) use copier::{Step, Written};
pub(crate) use device::{DeviceRecorder, DeviceRun, OnBase, OnDevice, Timed};
pub(crate) use followed::{Followed, follow};
pub(crate) use mount::{MountRecorder, MountRun};
pub use name::RecorderKind;
pub(crate) use on_image::{OnImage, STORE};
pub(crate) use sync_call::SyncCall;
pub(crate) use trace::{TraceRecorder, TraceRun, Traced};
