//! Calls that are not carried out as the program made them: answered with an error, or cut short.

use std::io;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::call::Call;
use super::memory::Memory;
use super::observer::Decision;
use super::resolve::{self, Cut};
use super::sys::Registers;
use super::tasks::alive;

/// The largest error that a program may see. Numbers from 512 on are the kernel's own: it restarts calls
/// that end with one of them.
const ERRNO_MAX: i32 = 511;

/// What was done to a call at its beginning, and is put right at its end.
#[derive(Debug)]
pub(super) enum Altered {
    /// Nothing.
    No,
    /// The kernel does not carry it out, and this error becomes its result.
    Answered(i32),
    /// Its length was cut.
    Cut {
        cut: Cut,
        /// The length of the last entry of its array, if it has one.
        last: Option<u64>,
    },
}

impl Altered {
    /// Does what was decided to the call that the task is about to make.
    ///
    /// # Errors
    /// If that cannot be done to it.
    pub(super) fn by(decision: Decision, task: Pid, call: &Call) -> io::Result<Self> {
        match decision {
            Decision::Continue | Decision::Kill => Ok(Self::No),
            Decision::Answer(errno) => answer(task, call, errno),
            Decision::Shorten(length) | Decision::ShortenThenKill(length) => {
                shorten(task, call, length)
            }
        }
    }

    /// Puts the call right that has ended, so that the program finds its registers and its memory as it left
    /// them. Returns what the program gets.
    pub(super) fn end(
        self,
        task: Pid,
        call: &Call,
        registers: Registers,
    ) -> io::Result<io::Result<u64>> {
        match self {
            Self::No => Ok(registers.result()),
            Self::Answered(errno) => {
                alive(registers.set_error(task, errno), "answer a call of", task)?;
                Ok(Err(io::Error::from_raw_os_error(errno)))
            }
            Self::Cut { cut, last } => {
                let argument = match &cut {
                    Cut::Argument(index) => *index,
                    Cut::Vector { count_argument, .. } => *count_argument,
                };
                if let (Cut::Vector { address, .. }, Some(last)) = (&cut, last) {
                    alive(put(task, *address, last), "restore the memory of", task)?;
                }
                // A system call leaves its arguments as they were, and programs rely on it.
                let whole = registers.set_argument(task, argument, call.arguments[argument]);
                alive(whole, "restore the call of", task)?;
                Ok(registers.result())
            }
        }
    }
}

fn answer(task: Pid, call: &Call, errno: i32) -> io::Result<Altered> {
    if !(1..=ERRNO_MAX).contains(&errno) {
        return Err(refused(format!(
            "{call} cannot be answered with error {errno}: it must be within 1..={ERRNO_MAX}"
        )));
    }
    let skipped = Registers::of(task).and_then(|registers| registers.skip(task));
    alive(skipped, "skip the call of", task)?;
    Ok(Altered::Answered(errno))
}

fn shorten(task: Pid, call: &Call, length: u64) -> io::Result<Altered> {
    let refuse = || refused(format!("{call} cannot be shortened to {length} bytes"));
    if !call.can_shorten() || call.length().is_none_or(|whole| length > whole) {
        return Err(refuse());
    }
    let cut = resolve::cut(call, length).ok_or_else(refuse)?;
    let mut whole_last = None;
    let done = Registers::of(task).and_then(|registers| match cut {
        Cut::Argument(index) => registers.set_argument(task, index, length),
        Cut::Vector {
            count_argument,
            count,
            address,
            last,
        } => {
            whole_last = u64::try_from(address).ok();
            whole_last = whole_last.and_then(|address| Memory(task).word(address));
            put(task, address, last)?;
            registers.set_argument(task, count_argument, count)
        }
    });
    alive(done, "shorten the call of", task)?;
    Ok(Altered::Cut {
        cut,
        last: whole_last,
    })
}

/// Puts a word into the task's own memory, which may be memory that the task cannot write to.
fn put(task: Pid, address: usize, word: u64) -> Result<(), Errno> {
    let address = std::ptr::without_provenance_mut(address);
    ptrace::write(task, address, word.cast_signed())
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
