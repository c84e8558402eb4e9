//! Requests that the kernel carries out while every thread is stopped: no moment of them can be copied, so
//! such a store is refused by name and never judged.

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};
use plugpull::{Failure, RecoverRun, Subject, SubjectError, Survivors, WriteRun};

use crate::verdict::{is_untraceable, torture};

enum Way {
    /// `io_submit`.
    Submit,
    /// A ring, with a thread of the kernel that looks for requests.
    PolledRing,
}

struct Asynchronous {
    name: &'static str,
    way: Way,
}

impl Subject for Asynchronous {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let file = File::create(run.dir.join("log"))?;
        match self.way {
            Way::Submit => submit(&file),
            Way::PolledRing => write_by_ring(&file)?,
        }
        Ok(())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "no crate wraps it")]
fn submit(file: &File) {
    let text = b"entry";
    let mut context = 0_u64;
    let mut request = [0_u64; 8];
    // Opcode IOCB_CMD_PWRITE and descriptor share the third word; then buffer, length and offset.
    request[2] = 1 | u64::from(file.as_raw_fd().cast_unsigned()) << 32;
    request[3] = text.as_ptr() as u64;
    request[4] = text.len() as u64;
    let requests = [request.as_ptr()];
    // SAFETY: the kernel reads and writes what the arguments point to, all of which outlives the calls and
    // the request.
    let submitted = unsafe {
        libc::syscall(libc::SYS_io_setup, 1, &raw mut context);
        let submitted = libc::syscall(libc::SYS_io_submit, context, 1, requests.as_ptr());
        libc::syscall(libc::SYS_io_destroy, context);
        submitted
    };
    assert_eq!(submitted, 1, "{}", std::io::Error::last_os_error());
}

#[expect(unsafe_code, reason = "the kernel must be given memory that lives on")]
fn write_by_ring(file: &File) -> std::io::Result<()> {
    let mut ring: IoUring = IoUring::builder().setup_sqpoll(100).build(4)?;
    let text = b"entry";
    let write = opcode::Write::new(types::Fd(file.as_raw_fd()), text.as_ptr(), 5).build();
    // SAFETY: the bytes live for ever.
    unsafe { ring.submission().push(&write) }.expect("there is room");
    ring.submit_and_wait(1).map(drop)
}

fn is_refused(subject: Asynchronous, by: &str) {
    match torture(subject).run() {
        Err(failure) if is_untraceable(&failure) => {}
        Err(Failure::Environment(why)) => assert!(why.contains(by), "'{by}' in: {why}"),
        Err(failure) => panic!("it is judged: {failure}"),
        Ok(_) => panic!("it passes"),
    }
}

#[test]
fn requests_to_io_submit_are_refused_by_name() {
    let subject = Asynchronous {
        name: "submits",
        way: Way::Submit,
    };
    is_refused(subject, "log through io_submit");
}

#[test]
fn a_polled_ring_is_refused_by_name() {
    let subject = Asynchronous {
        name: "polled-ring",
        way: Way::PolledRing,
    };
    is_refused(subject, "IORING_SETUP_SQPOLL");
}
