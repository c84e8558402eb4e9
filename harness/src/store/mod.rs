//! What is under test: something that writes and recovers in a directory, and makes promises.
//!
//! [`Store`] is the one view that crash kinds have of it. A [`Subject`](crate::Subject) is Rust code
//! that runs in child processes; a [`BlackBox`] is two commands in any language.

mod announced;
mod assignment;
mod command;
mod contract;
mod preparations;
mod prepared;
mod run;
mod subject;
mod tested;

pub use command::{BlackBox, BlackBoxOracle};
pub use tested::UnderTest;

pub(crate) use command::commands_of;

pub(crate) use announced::{Announced, Announcer, Mark, Silent, Span};
pub(crate) use assignment::{Assignment, Calls, Life, Until};
pub(crate) use contract::{Damaged, NextBase, Recovered, Store, Work, Written};
pub(crate) use preparations::Preparations;
pub(crate) use prepared::{image_of, prepared, unfit};
pub(crate) use run::{Stop, Watched, run};
pub(crate) use subject::subject_roles;
pub(crate) use tested::Tested;
