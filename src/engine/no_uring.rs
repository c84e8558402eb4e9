//! Stands in for the engine `uring` where there is no `io_uring`.

use std::convert::Infallible;
use std::io;

use super::blocking::Blocking;
use super::workers::Workers;
use super::writer::{Engine, Flush};

pub(super) struct Uring(Infallible);

impl Uring {
    pub(super) fn new(_: Blocking) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Engine for Uring {
    fn lead(&self, _: Flush) {
        match self.0 {}
    }

    fn workers(&self) -> Option<&Workers> {
        match self.0 {}
    }
}
