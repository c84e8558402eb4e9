//! Crash kinds: each is a recorder and a loss model. `kill` has no recorder.
//!
//! | kind | recorder | what is lost |
//! |---|---|---|
//! | `kill` | none: SIGKILL at a random instant | nothing that was written |
//! | `syscall` | `trace` | nothing that was written; part of the current write |
//! | `power` | `seam`, or `trace` and a disk that follows it | what was not synced, by profile |
//! | `fault` | the same; under `trace`, the tracer answers calls with errors | failed, short and full-disk I/O, then as `power` |
//! | `rot` | the same | bytes of what survived are damaged |
//! | `disk` | `device` | blocks that no flush covered, on a real file system |
//!
//! A new kind is a file here, a line in the registry, and a name in [`CrashKind`](crate::CrashKind).

mod chosen;
mod contract;
mod disk;
mod early;
mod examine;
mod fault;
mod kill;
mod power;
mod power_run;
mod registry;
mod rot;
mod simulated;
mod sought;
mod story;
mod syscall;

pub use syscall::Generation;

pub(crate) use contract::{Case, Job, Replayed, Saved, Shrinking, Worker};
pub(crate) use power_run::Bench;
pub(crate) use registry::{REGISTRY, of};
pub(crate) use simulated::{Simulation, keep_panics_quiet};
