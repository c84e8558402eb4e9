//! pwritev2, whose flags may ask for one write to be durable when it ends.

use std::fs::File;
use std::io::{self, IoSlice};

use rustix::io::{ReadWriteFlags, pwritev2};

use crate::case::{is_caught, passes};
use crate::slots::{Put, SLOT_BYTES, Slot, Slots};

fn write(file: &File, slot: &Slot, offset: u64, flags: ReadWriteFlags) -> io::Result<()> {
    match pwritev2(file, &[IoSlice::new(&slot.0)], offset, flags)? {
        SLOT_BYTES => Ok(()),
        written => Err(io::Error::other(format!("written: {written}"))),
    }
}

fn self_syncing(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, ReadWriteFlags::DSYNC)
}

fn alone(file: &File, slot: &Slot, offset: u64) -> io::Result<()> {
    write(file, slot, offset, ReadWriteFlags::empty())
}

fn slots(name: &'static str, put: Put, flags: i32) -> Slots {
    Slots { name, put, flags }
}

#[test]
fn a_write_that_is_to_sync_itself_is_durable_when_it_is_done() {
    passes(slots("self-syncing", self_syncing, 0).run(2));
}

#[test]
fn a_write_past_the_page_cache_that_is_to_sync_itself_is_durable_when_it_is_done() {
    passes(slots("self-syncing", self_syncing, libc::O_DIRECT).run(2));
}

#[test]
fn a_write_to_a_file_that_is_open_for_synced_writes_is_durable_when_it_is_done() {
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    passes(slots("alone", alone, flags).run(2));
}

#[test]
fn a_write_that_does_not_sync_itself_is_caught() {
    is_caught(slots("alone", alone, 0).run(8), "lost");
}

#[test]
fn a_write_past_the_page_cache_that_does_not_sync_itself_is_caught() {
    is_caught(slots("alone", alone, libc::O_DIRECT).run(8), "lost");
}
