//! Programs in any language, as they are: a command that writes, a command that checks, and a few
//! words on their standard output.
//!
//! ```text
//! writer                         checker
//!   attempt ID [BYTES-HASH]        survived ID [BYTES-HASH]     in order, then exit status 0
//!   ack ID [POSITION]
//! ```
//!
//! The writer's words travel through a pipe. A write to a pipe is complete when it returns, and what
//! is in a pipe outlives its writer, so the pipe is the history: it is read to its end after a kill,
//! and at every stop of a traced run.
//!
//! `docs/black-box.md` is the programs' side of it.

mod black_box;
mod channel;
mod given;
mod length;
mod oracle;
mod ports;
mod protocol;
mod record;
mod sockets;
mod store;
mod trouble;

pub use black_box::BlackBox;
pub use oracle::BlackBoxOracle;

pub(crate) use record::commands_of;
pub(super) use store::CommandStore;
