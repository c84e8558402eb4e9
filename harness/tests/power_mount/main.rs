//! Power loss on a file system that is mounted: the programs of `power_trace`, and those that only a file
//! system can follow.

#[path = "../power_trace/acknowledged.rs"]
mod acknowledged;
mod aio;
#[path = "../power_trace/appends.rs"]
mod appends;
#[path = "../power_trace/case.rs"]
mod case;
#[path = "../power_trace/faults.rs"]
mod faults;
#[path = "../power_trace/mapped.rs"]
mod mapped;
#[path = "../power_trace/names.rs"]
mod names;
#[path = "../power_trace/processes.rs"]
mod processes;
mod recorder;
mod rings;
#[path = "../power_trace/rot.rs"]
mod rot;
#[path = "../power_trace/slot.rs"]
mod slot;
mod slots;
#[path = "../power_trace/undo.rs"]
mod undo;
mod vectors;
