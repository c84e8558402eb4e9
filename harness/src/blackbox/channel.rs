//! What a program says, through pipes.
//!
//! There are two: its standard output, and the descriptor in `PLUGPULL_FD`. From the first byte on
//! the descriptor, standard output is the program's own.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// More than this nobody says who keeps to the protocol.
const BYTES_MAX: usize = 64 << 20;

/// A program's two pipes. They may be listened to from several threads.
#[derive(Debug)]
pub(super) struct Channel(Mutex<[Pipe; 2]>);

#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    /// Held so that the program can open it.
    writer: PipeWriter,
    heard: Vec<u8>,
    /// Ends of lines in it.
    lines: usize,
}

/// How much had been said at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    output: usize,
    descriptor: usize,
}

/// All that was said, by the pipe that counts.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    by_descriptor: bool,
}

impl Said {
    /// How much of it had been said at a moment, in bytes.
    pub(super) fn until(&self, mark: Mark) -> usize {
        if self.by_descriptor {
            mark.descriptor
        } else {
            mark.output
        }
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
        Ok(Self(Mutex::new([Pipe::open()?, Pipe::open()?])))
    }

    fn pipes(&self) -> MutexGuard<'_, [Pipe; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) fn hear(&self) -> io::Result<Mark> {
        let [output, descriptor] = &mut *self.pipes();
        // In this order: what is on standard output after the first byte on the descriptor must
        // not be taken for the protocol.
        Ok(Mark {
            output: output.drain()?,
            descriptor: descriptor.drain()?,
        })
    }

    /// Hears whether there are so many lines by now.
    pub(super) fn has_lines(&self, lines: usize) -> io::Result<bool> {
        self.hear()?;
        Ok(self.pipes().iter().any(|pipe| pipe.lines >= lines))
    }

    /// It talks without end.
    pub(super) fn is_flooded(&self) -> bool {
        self.pipes().iter().any(|pipe| pipe.heard.len() > BYTES_MAX)
    }

    /// After the end: all that was said.
    pub(super) fn said(&self) -> io::Result<Said> {
        self.hear()?;
        let [output, descriptor] = &mut *self.pipes();
        let by_descriptor = !descriptor.heard.is_empty();
        let pipe = if by_descriptor { descriptor } else { output };
        Ok(Said {
            bytes: std::mem::take(&mut pipe.heard),
            by_descriptor,
        })
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
        // More than the limit is not wanted, and somebody who writes as fast as we read must not
        // keep us here.
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
