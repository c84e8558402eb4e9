//! Stands in for the engine `uring` where there is no `io_uring`.

use std::convert::Infallible;
use std::io;

use super::Flush;
use super::blocking::Blocking;

pub(crate) struct Uring(Infallible);

impl Uring {
    pub(super) fn new(_: Blocking) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn blocking(&self) -> &Blocking {
        match self.0 {}
    }

    pub(super) fn attend(&self) {
        match self.0 {}
    }

    pub(super) fn lead(&self, _: Flush) {
        match self.0 {}
    }
}
