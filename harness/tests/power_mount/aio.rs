//! Requests to libaio: a sync counts for a write only if it begins when the write has been done.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::errno::Errno;

use crate::case::{is_caught, passes};
use crate::slots::{Put, SLOT_BYTES, Slot, Slots};

/// `IOCB_CMD_PWRITE`
const WRITE: u16 = 1;

/// `struct iocb`, from `linux/aio_abi.h`, on a machine that puts low bytes first.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: u32,
    flags: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event: u32,
}

/// `struct io_event`
#[repr(C)]
#[derive(Default)]
struct Event {
    data: u64,
    request: u64,
    result: i64,
    second_result: i64,
}

/// Writes a slot; `meanwhile` is done while the kernel has the request.
fn write(
    file: &File,
    slot: &Slot,
    offset: u64,
    meanwhile: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let mut context: u64 = 0;
    let request = Request {
        opcode: WRITE,
        descriptor: file.as_raw_fd().cast_unsigned(),
        buffer: slot.0.as_ptr() as u64,
        bytes: SLOT_BYTES as u64,
        offset: offset.cast_signed(),
        ..Request::default()
    };
    let mut event = Event::default();
    #[expect(unsafe_code, reason = "glibc has no functions for it")]
    // SAFETY: what the kernel reads and writes lives until the request is done, for which this waits; the
    // context is destroyed in the end.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_io_setup, 1, &raw mut context))?;
        let requests = [&raw const request];
        let submitted = libc::syscall(libc::SYS_io_submit, context, 1, requests.as_ptr());
        let done = Errno::result(submitted).map(|_| meanwhile());
        let none = ptr::null::<libc::timespec>();
        let waited = libc::syscall(libc::SYS_io_getevents, context, 1, 1, &raw mut event, none);
        libc::syscall(libc::SYS_io_destroy, context);
        done??;
        Errno::result(waited)?;
    }
    match usize::try_from(event.result) {
        Ok(SLOT_BYTES) => Ok(()),
        _ => Err(io::Error::other(format!("written: {}", event.result))),
    }
}

fn one_after_the_other(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, || Ok(()))?;
    file.sync_data()
}

fn meanwhile(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, || file.sync_data())
}

/// Looks at no result of a sync.
fn careless(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, || Ok(()))?;
    file.sync_data().ok();
    Ok(())
}

/// Without a sync of its own.
fn alone(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, || Ok(()))
}

fn slots(name: &'static str, put: Put) -> Slots {
    Slots {
        name,
        put,
        // Through the page cache, a request is carried out while it is handed over.
        flags: libc::O_DIRECT,
    }
}

#[test]
fn a_write_that_is_done_is_durable_after_a_sync() {
    passes(slots("one-after-the-other", one_after_the_other).run(2));
}

fn opened_for_synced_writes(flag: i32) -> Slots {
    let mut slots = slots("self-syncing", alone);
    slots.flags |= flag;
    slots
}

/// The kernel sends no sync behind such a write: its flags are all that tells of it. Stores that kept their
/// promises lost entries.
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
    is_caught(slots("alone", alone).run(8), "lost");
}

#[test]
fn a_sync_while_the_write_goes_on_is_caught() {
    is_caught(slots("meanwhile", meanwhile).run(8), "lost");
}

#[test]
fn a_write_whose_sync_fails_is_not_believed() {
    passes(slots("one-after-the-other", one_after_the_other).run_without_syncs(2));
}

#[test]
fn a_write_whose_failed_sync_is_not_looked_at_is_caught() {
    is_caught(slots("careless", careless).run_without_syncs(4), "lost");
}
