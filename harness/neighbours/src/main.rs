//! The torture binary with other people's stores: `cargo neighbours run fjall --crash kill,syscall,power`.
//!
//! Each store is used as its documentation says for durable writes; the sentence that promises durability
//! stands in the documentation of the store's file. A store with a weaker documented mode is a second
//! subject, an exhibit: it shows that the torture would notice a missing sync of that store. Such a mode may
//! lose entries, but must never change or invent one.

mod creation;
mod journal;
mod key_value;
mod log;
mod neighbour;
mod seam;
mod stores;
mod turns;
mod writers;

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull::cli::main(&stores::all())
}
