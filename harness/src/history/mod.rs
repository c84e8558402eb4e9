//! What is known of a run: events in memory that outlives a SIGKILL.
//!
//! The harness makes a memfd; the writer process maps it and records. [`History`] is the memory,
//! [`Recorder`] a writer's hand on it.

mod event;
mod memory;
mod recorder;
mod words;

pub use event::Event;
pub use memory::History;
pub use recorder::Recorder;

pub(crate) use memory::Mark;
