//! What a litmus is.

use std::io;

use super::stage::Stage;

/// A program of a few calls.
#[derive(Clone, Copy, Debug)]
pub struct Litmus {
    /// Tells it from others.
    pub name: &'static str,
    /// What it does, and what is asked.
    pub story: &'static str,
    /// What is there, and durable, before it begins.
    pub setup: fn(&Stage<'_>) -> io::Result<()>,
    /// What it does. It may hold files open only while it runs.
    pub program: fn(&Stage<'_>) -> io::Result<()>,
    /// What a crash after it has left, in a few words; the same words for whatever makes no
    /// difference here.
    pub look: fn(&Stage<'_>) -> io::Result<String>,
}
