//! Stops a program at every system call that touches a directory.
//!
//! A stop before or after such a call is a point where the program can crash, and a copy of the
//! directory taken there is what a SIGKILL there leaves: the page cache survives the process, all
//! calls before are done and none after has begun. So one run yields the crash states of *all*
//! points, without running the program again. A kill inside a write can be had as well, exactly.
//!
//! The child has to cooperate: it is started with a pipe as its standard input and calls
//! [`enter_child`] before its work, or before `exec` of a program that knows nothing of this, in
//! any language. Threads, children and programs it becomes are followed.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::process::{Command, Stdio};
//! use plugpull::trace::{Call, Decision, Observer, Tracer};
//!
//! struct Print;
//!
//! impl Observer for Print {
//!     fn before(&mut self, call: &Call) -> Decision {
//!         println!("{call}"); // and copy the directory
//!         Decision::Continue
//!     }
//!     fn after(&mut self, _: &Call, result: std::io::Result<u64>) -> ControlFlow<()> {
//!         println!("  = {result:?}");
//!         ControlFlow::Continue(())
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! // A program that calls `plugpull::trace::enter_child()`, then works in /tmp/store.
//! let child = Command::new("./writer").stdin(Stdio::piped()).spawn()?;
//! let run = Tracer::new(child, "/tmp/store".as_ref())?.run(&mut Print)?;
//! println!("{:?}", run.end);
//! # Ok(()) }
//! ```
//!
//! # What it does not see
//! Stores to a shared mapping: they are not calls. That a file is mapped is reported ([`Kind::Map`]), so that
//! an observer can look at it again at every stop. What `io_uring` and `io_submit` do in the background:
//! see [`Kind::IoUring`] and [`Kind::AsyncIo`]. Flags of files that only an `ioctl` sets. A process that is
//! started with `CLONE_UNTRACED`. What is done to a file by a name outside of the directory, unless the
//! observer knows the file ([`Observer::holds`]); and while one thread gives a file from outside a name in the
//! directory, another one's write to it.
//!
//! Linux 4.8 or newer on `x86_64` and `aarch64`, where ptrace of one's own children is permitted.

mod answer;
mod call;
mod filter;
mod gate;
mod memory;
mod observer;
mod paths;
mod resolve;
mod run;
mod stopper;
mod sys;
mod table;
mod tasks;
mod tracees;
mod tracer;

pub use call::{Call, Durability, Kind};
pub use filter::enter_child;
pub(crate) use filter::{Scope, enter_child_of};
pub use observer::{Decision, Observer};
pub use run::{End, Run};
pub use stopper::Stopper;
pub use tracer::Tracer;
