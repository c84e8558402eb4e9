//! The ring itself: the one request that is in it, and how it is handed over.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::ReadWriteFlags;

use super::progress::Progress;
use crate::engine::writer::{Flush, Next, Writer};
use crate::log::{Failure, Place};
use crate::metrics::Stopwatch;

/// Where requests are told of, at the level `TRACE`: part of the documentation.
const TARGET: &str = "groupwal::engine::uring";

/// The ring, and what is in it.
pub(super) struct Ring {
    pub(super) io: IoUring,
    pub(super) flight: Option<Flight>,
    /// The kernel has refused a request: it is not asked again, since the refused one is still in
    /// the queue.
    pub(super) is_broken: bool,
}

/// A group on its way.
pub(super) struct Flight {
    pub(super) flush: Flush,
    pub(super) place: Place,
    pub(super) progress: Progress,
    pub(super) watch: Stopwatch,
}

impl Ring {
    /// Hands over the flight's next request. Returns the flight if the kernel refuses it.
    pub(super) fn submit(&mut self) -> Option<Flight> {
        let flight = self.flight.as_ref().expect("there is something to submit");
        let entry = flight.request();
        // SAFETY: what the entry points to, the flight's buffer, is in the heap and is neither
        // changed nor freed before the request has completed: the flight stays in `self` until
        // `reap` has seen the completion, and what drops `self` drops the log first, which the
        // flight holds. If the kernel refuses the request it never sees it: nothing calls it with
        // this ring again.
        #[expect(unsafe_code, reason = "the kernel is given a pointer")]
        let pushed = unsafe { self.io.submission().push(&entry) };
        pushed.expect("there is room for one request");
        let refused = loop {
            match self.io.submit() {
                Ok(1..) => return None,
                Ok(0) => break io::Error::other("the request was not taken"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        tracing::warn!(error = %refused, "io_uring refuses a request: going on without it");
        self.is_broken = true;
        self.flight.take()
    }
}

impl Flight {
    fn request(&self) -> squeue::Entry {
        let Progress { done, len, .. } = self.progress;
        let raw = self
            .place
            .raw()
            .expect("it was there when the flight began");
        let file = types::Fd(raw.fd().as_raw_fd());
        if self.progress.is_syncing {
            tracing::trace!(target: TARGET, op = "sync", flags = "DATASYNC", "submitted");
            return opcode::Fsync::new(file)
                .flags(types::FsyncFlags::DATASYNC)
                .build();
        }
        let bytes = &self.flush.taken.buffer.bytes()[done..];
        let offset = self.place.offset + done as u64;
        let flags = if self.progress.write_syncs {
            ReadWriteFlags::DSYNC
        } else {
            ReadWriteFlags::empty()
        };
        tracing::trace!(
            target: TARGET,
            op = "write",
            offset,
            len = len - done,
            ?flags,
            direct = raw.is_direct(),
            "submitted"
        );
        let len = u32::try_from(bytes.len()).expect("a group's size is limited");
        opcode::Write::new(file, bytes.as_ptr(), len)
            .offset(offset)
            .rw_flags(flags.bits().cast_signed())
            .build()
    }

    pub(super) fn finish(self, ended: Result<(), Failure>, go_on: bool) -> Next {
        let took = self.watch.elapsed();
        Writer::finish_written(self.flush, self.place, ended.map(|()| took), go_on)
    }
}
