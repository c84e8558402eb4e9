//! Requests to `io_uring`: a sync that is handed over together with its write may be carried out before it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};

use crate::case::{is_caught, passes};
use crate::slots::{Put, SLOT_BYTES, Slot, Slots};

/// How long a thread of the kernel looks for requests before it sleeps, in milliseconds.
const POLLED_MS: u32 = 100;

fn write_of(file: i32, slot: &Slot, offset: u64) -> opcode::Write {
    let bytes = u32::try_from(SLOT_BYTES).expect("small");
    opcode::Write::new(types::Fd(file), slot.0.as_ptr(), bytes).offset(offset)
}

/// A write, and a sync that waits for it if there is a link.
fn write_and_sync_of(
    file: i32,
    slot: &Slot,
    offset: u64,
    link: squeue::Flags,
) -> [squeue::Entry; 2] {
    let sync = opcode::Fsync::new(types::Fd(file)).flags(types::FsyncFlags::DATASYNC);
    let write = write_of(file, slot, offset).build().flags(link);
    [write, sync.build()]
}

/// Hands requests over whose buffers outlive this, and waits for all of them.
fn carry_out(ring: &mut IoUring, requests: &[squeue::Entry]) -> io::Result<()> {
    for request in requests {
        #[expect(unsafe_code, reason = "the kernel reads a buffer")]
        // SAFETY: this function waits for all requests, and their buffers outlive it.
        unsafe { ring.submission().push(request) }.map_err(io::Error::other)?;
    }
    ring.submit_and_wait(requests.len())?;
    for done in ring.completion() {
        if done.result() < 0 {
            return Err(io::Error::from_raw_os_error(-done.result()));
        }
    }
    Ok(())
}

/// Hands a write and a sync over, and waits for both.
fn write_and_sync(file: &File, slot: &Slot, offset: u64, link: squeue::Flags) -> io::Result<()> {
    let requests = write_and_sync_of(file.as_raw_fd(), slot, offset, link);
    carry_out(&mut IoUring::new(4)?, &requests)
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

/// Without a sync of its own.
fn alone(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    let write = write_of(file.as_raw_fd(), slot, offset).build();
    carry_out(&mut IoUring::new(4)?, &[write])
}

/// The write itself asks to be durable when it ends.
fn self_syncing(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    let write = write_of(file.as_raw_fd(), slot, offset);
    carry_out(
        &mut IoUring::new(4)?,
        &[write.rw_flags(libc::RWF_DSYNC).build()],
    )
}

/// The file is one that the ring knows by a number.
fn registered(file: &File, slot: &Slot, offset: u64, link: squeue::Flags) -> io::Result<()> {
    let mut ring = IoUring::new(4)?;
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    let requests = write_and_sync_of(0, slot, offset, link);
    let is_number = squeue::Flags::FIXED_FILE;
    carry_out(&mut ring, &requests.map(|request| request.flags(is_number)))
}

fn registered_linked(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    registered(file, slot, offset, squeue::Flags::IO_LINK)
}

fn registered_overtaking(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    registered(file, slot, offset, squeue::Flags::empty())
}

/// A thread of the kernel takes the requests: there may be no call for them.
fn polled() -> io::Result<IoUring> {
    IoUring::builder().setup_sqpoll(POLLED_MS).build(4)
}

fn polled_linked(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    let link = squeue::Flags::IO_LINK;
    let requests = write_and_sync_of(file.as_raw_fd(), slot, offset, link);
    carry_out(&mut polled()?, &requests)
}

fn polled_overtaking(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    let link = squeue::Flags::empty();
    let requests = write_and_sync_of(file.as_raw_fd(), slot, offset, link);
    carry_out(&mut polled()?, &requests)
}

fn slots(name: &'static str, put: Put) -> Slots {
    Slots {
        name,
        put,
        flags: 0,
    }
}

/// Past the page cache.
fn direct(name: &'static str, put: Put) -> Slots {
    Slots {
        flags: libc::O_DIRECT,
        ..slots(name, put)
    }
}

#[test]
fn a_sync_that_is_linked_to_its_write_makes_it_durable() {
    passes(slots("linked", linked).run(2));
}

#[test]
fn a_sync_that_is_linked_to_a_write_past_the_page_cache_makes_it_durable() {
    passes(direct("linked", linked).run(2));
}

#[test]
fn a_sync_that_overtakes_its_write_is_caught() {
    is_caught(slots("overtaking", overtaking).run(8), "lost");
}

fn opened_for_synced_writes(flag: i32) -> Slots {
    let mut slots = direct("alone", alone);
    slots.flags |= flag;
    slots
}

#[test]
fn a_write_to_a_file_that_is_open_for_writes_of_synced_data_is_durable_when_it_is_done() {
    passes(opened_for_synced_writes(libc::O_DSYNC).run(2));
}

#[test]
fn a_write_to_a_file_that_is_open_for_synced_writes_is_durable_when_it_is_done() {
    passes(opened_for_synced_writes(libc::O_SYNC).run(2));
}

#[test]
fn a_write_that_does_not_sync_itself_is_caught() {
    is_caught(direct("alone", alone).run(8), "lost");
}

#[test]
fn a_write_that_is_to_sync_itself_is_durable_when_it_is_done() {
    passes(slots("self-syncing", self_syncing).run(2));
}

#[test]
fn a_write_past_the_page_cache_that_is_to_sync_itself_is_durable_when_it_is_done() {
    passes(direct("self-syncing", self_syncing).run(2));
}

#[test]
fn a_registered_file_is_followed_as_any_other() {
    passes(slots("registered", registered_linked).run(2));
}

#[test]
fn a_sync_of_a_registered_file_that_overtakes_its_write_is_caught() {
    is_caught(slots("registered", registered_overtaking).run(8), "lost");
}

/// Whether there are rings whose requests a thread of the kernel takes.
fn has_polled() -> bool {
    match polled() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("SKIPPED: no thread of the kernel takes requests: {error}");
            false
        }
    }
}

#[test]
fn requests_that_a_thread_of_the_kernel_takes_are_followed_as_any_other() {
    if has_polled() {
        passes(slots("polled", polled_linked).run(2));
    }
}

#[test]
fn a_sync_that_overtakes_its_write_in_a_thread_of_the_kernel_is_caught() {
    if has_polled() {
        is_caught(slots("polled", polled_overtaking).run(8), "lost");
    }
}

#[test]
fn a_ring_whose_sync_fails_is_not_believed() {
    passes(slots("linked", linked).run_without_syncs(2));
}

#[test]
fn a_ring_whose_failed_sync_is_not_looked_at_is_caught() {
    is_caught(slots("careless", careless).run_without_syncs(4), "lost");
}
