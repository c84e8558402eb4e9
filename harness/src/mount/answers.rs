//! Answers to the kernel.

use fuser::{Errno, FileAttr, Generation, ReplyEmpty, ReplyEntry, ReplyWrite, ReplyXattr};
use nix::errno;

use super::convert::FOREVER;
use super::live::Done;

/// Of one error, for the kernel.
pub(super) fn number(error: errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

pub(super) fn empty(done: Done<()>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(number(error)),
    }
}

pub(super) fn written(done: Done<usize>, reply: ReplyWrite) {
    match done {
        Ok(bytes) => reply.written(u32::try_from(bytes).expect("as long as a request")),
        Err(error) => reply.error(number(error)),
    }
}

/// A node under a name.
pub(super) fn entry(made: Done<FileAttr>, reply: ReplyEntry) {
    match made {
        Ok(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
        Err(errno) => reply.error(number(errno)),
    }
}

/// The value of an attribute, or its length if nothing else is wanted.
pub(super) fn xattr(value: Done<Vec<u8>>, size: u32, reply: ReplyXattr) {
    let value = match value {
        Ok(value) => value,
        Err(errno) => return reply.error(number(errno)),
    };
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.size(len),
        size if len > size => reply.error(Errno::ERANGE),
        _ => reply.data(&value),
    }
}
