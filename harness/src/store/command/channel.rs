//! What a program says, through pipes.
//!
//! There are two: its standard output, and the descriptor in `PLUGPULL_FD`. From the first byte on
//! the descriptor, standard output is the program's own.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::store::{Announcer, Mark};

/// No program that keeps to the protocol says more than this.
const BYTES_MAX: usize = 64 << 20;

/// A program's two pipes. Several threads may listen to them.
#[derive(Debug)]
pub(super) struct Channel {
    pipes: Mutex<[Pipe; 2]>,
    /// How much had been heard when a device's clock said what, in order.
    notes: Mutex<Vec<(Heard, u64)>>,
}

#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    /// Held so that the program can open it.
    writer: PipeWriter,
    heard: Vec<u8>,
    /// Ends of lines in it.
    lines: usize,
}

/// How much had been said at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heard {
    output: usize,
    descriptor: usize,
}

/// All that was said, by the pipe that counts.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    pub(super) by_descriptor: bool,
    /// How much of it had been said when a device's clock said what, in order.
    notes: Vec<(usize, u64)>,
}

impl Said {
    /// What a device's clock said when this many bytes had been said, at the latest. None if that was
    /// heard after the clock was read for the last time.
    pub(super) fn clock_at(&self, bytes: usize) -> Option<u64> {
        let note = self.notes.iter().find(|(heard, _)| *heard >= bytes);
        note.map(|(_, clock)| *clock)
    }

    pub(super) fn place(&self) -> &'static str {
        if self.by_descriptor {
            "what it wrote to the descriptor PLUGPULL_FD"
        } else {
            "its standard output"
        }
    }
}

impl Channel {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            pipes: Mutex::new([Pipe::open()?, Pipe::open()?]),
            notes: Mutex::default(),
        })
    }

    fn pipes(&self) -> MutexGuard<'_, [Pipe; 2]> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> MutexGuard<'_, Vec<(Heard, u64)>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a child opens its ends: for standard output and for the descriptor.
    pub(super) fn paths(&self) -> [PathBuf; 2] {
        let path = |pipe: &Pipe| {
            let (process, fd) = (std::process::id(), pipe.writer.as_raw_fd());
            format!("/proc/{process}/fd/{fd}").into()
        };
        let [output, descriptor] = &*self.pipes();
        [path(output), path(descriptor)]
    }

    /// Hears all that has been said up to now. Whatever a program had written before it was stopped
    /// or killed is part of it.
    fn hear(&self) -> io::Result<Heard> {
        let [output, descriptor] = &mut *self.pipes();
        // In this order: what is on standard output after the first byte on the descriptor must
        // not be taken for the protocol.
        Ok(Heard {
            output: output.drain()?,
            descriptor: descriptor.drain()?,
        })
    }

    /// After the end: all that was said.
    pub(super) fn said(&self) -> io::Result<Said> {
        self.hear()?;
        let [output, descriptor] = &mut *self.pipes();
        let by_descriptor = !descriptor.heard.is_empty();
        let pipe = if by_descriptor { descriptor } else { output };
        let notes = self.notes();
        let notes = notes.iter().map(|(heard, clock)| {
            let heard = [heard.output, heard.descriptor][usize::from(by_descriptor)];
            (heard, *clock)
        });
        Ok(Said {
            bytes: std::mem::take(&mut pipe.heard),
            by_descriptor,
            notes: notes.collect(),
        })
    }
}

impl Announcer for Channel {
    fn mark(&self) -> io::Result<Mark> {
        let Heard { output, descriptor } = self.hear()?;
        Ok(Mark::Said { output, descriptor })
    }

    fn descriptors(&self) -> Vec<RawFd> {
        let pipes = self.pipes();
        pipes.iter().map(|pipe| pipe.reader.as_raw_fd()).collect()
    }

    /// Lines, of the pipe that has more.
    fn heard(&self) -> io::Result<u64> {
        self.hear()?;
        let lines = self.pipes().iter().map(|pipe| pipe.lines).max();
        Ok(lines.unwrap_or(0) as u64)
    }

    /// It talks without end.
    fn is_full(&self) -> bool {
        let flooded = |pipe: &Pipe| pipe.heard.len() > BYTES_MAX;
        self.pipes().iter().any(flooded)
    }

    fn note(&self, clock: u64) -> io::Result<()> {
        let [output, descriptor] = &*self.pipes();
        let heard = Heard {
            output: output.heard.len(),
            descriptor: descriptor.heard.len(),
        };
        let mut notes = self.notes();
        match notes.last_mut() {
            Some(last) if last.1 == clock => last.0 = heard,
            _ => notes.push((heard, clock)),
        }
        Ok(())
    }
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self {
            reader,
            writer,
            heard: Vec::new(),
            lines: 0,
        })
    }

    fn drain(&mut self) -> io::Result<usize> {
        // More than the limit is not wanted, and a program that writes as fast as this reads must not
        // keep it here.
        while self.heard.len() <= BYTES_MAX {
            let mut bytes = [0; 1 << 14];
            match self.reader.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => {
                    self.lines += bytes[..len].split(|byte| *byte == b'\n').count() - 1;
                    self.heard.extend(&bytes[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.heard.len())
    }
}
