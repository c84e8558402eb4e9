//! Requests to `io_uring`: a sync that is handed over together with its write may be carried out before it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};

use crate::case::{is_caught, passes};
use crate::slots::{Put, SLOT_BYTES, Slot, Slots};

/// Hands a write and a sync over, and waits for both.
fn write_and_sync(file: &File, slot: &Slot, offset: u64, link: squeue::Flags) -> io::Result<()> {
    let mut ring = IoUring::new(4)?;
    let fd = types::Fd(file.as_raw_fd());
    let bytes = u32::try_from(SLOT_BYTES).expect("small");
    let write = opcode::Write::new(fd, slot.0.as_ptr(), bytes).offset(offset);
    let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC);
    for entry in [write.build().flags(link), sync.build()] {
        #[expect(unsafe_code, reason = "the kernel reads a buffer")]
        // SAFETY: this function waits for both requests, and the buffer outlives it.
        unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    }
    ring.submit_and_wait(2)?;
    for done in ring.completion() {
        if done.result() < 0 {
            return Err(io::Error::from_raw_os_error(-done.result()));
        }
    }
    Ok(())
}

fn linked(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write_and_sync(file, slot, offset, squeue::Flags::IO_LINK)
}

/// Without the link.
fn overtaking(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write_and_sync(file, slot, offset, squeue::Flags::empty())
}

/// Looks at no result.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn careless(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    linked(file, slot, offset).ok();
    Ok(())
}

fn slots(name: &'static str, put: Put) -> Slots {
    Slots {
        name,
        put,
        flags: 0,
    }
}

#[test]
fn a_sync_that_is_linked_to_its_write_makes_it_durable() {
    passes(slots("linked", linked).run(2));
}

#[test]
fn a_sync_that_overtakes_its_write_is_caught() {
    is_caught(slots("overtaking", overtaking).run(8), "lost");
}

#[test]
fn a_ring_whose_sync_fails_is_not_believed() {
    passes(slots("linked", linked).run_without_syncs(2));
}

#[test]
fn a_ring_whose_failed_sync_is_not_looked_at_is_caught() {
    is_caught(slots("careless", careless).run_without_syncs(4), "lost");
}
