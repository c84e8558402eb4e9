//! The child's half: let the tracer attach, then ask the kernel to stop at the calls it wants.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::read;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
};

use serde::{Deserialize, Serialize};

use super::call::Kind;
use super::table::{Bits, Flags, Signature, TABLE};

/// Which calls a child stops at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// All that may change a directory.
    Everything,
    /// Those that a file system is not asked to carry out: what maps a file, and what syncs all files.
    Unasked,
}

impl Scope {
    fn has(self, signature: &Signature) -> bool {
        match self {
            Self::Everything => true,
            Self::Unasked => {
                let syncs_all = [libc::SYS_sync, libc::SYS_syncfs].contains(&signature.number);
                signature.kind == Kind::Map || syncs_all
            }
        }
    }
}

/// Waits until the [`Tracer`](super::Tracer) has attached, then stops every thread of this process,
/// and whatever it starts or becomes from now on, at the calls that may change a directory.
///
/// Call it in the child before its work, or before `exec` of a program that knows nothing of this.
/// The tracer says on standard input that it is there; one byte is taken from it.
///
/// The filter cannot be removed. It also sets `no_new_privs`, and ends the process at a system call
/// of another architecture, which could slip through: a 32-bit program on a 64-bit machine.
///
/// # Errors
/// If standard input ends first, because the tracer is gone, or the kernel refuses the filter.
pub fn enter_child() -> io::Result<()> {
    enter_child_of(Scope::Everything)
}

/// The same for some of the calls.
pub(crate) fn enter_child_of(scope: Scope) -> io::Result<()> {
    // Not through std's buffer: what follows the byte is for the program.
    let mut go = [0];
    loop {
        match read(io::stdin().as_fd(), &mut go) {
            Ok(1) => break,
            Ok(_) => {
                let reason = "the tracer went away before it had attached";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let program = filter(scope).map_err(io::Error::other)?;
    // All threads: a test runner or a runtime may have started some before us.
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

fn filter(scope: Scope) -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = TABLE
        .iter()
        .filter(|signature| scope.has(signature))
        .map(|signature| Ok((signature.number, rules(signature)?)))
        .collect::<Result<_, seccompiler::BackendError>>()?;
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), arch)?.try_into()
}

/// When the call is of interest, as far as its registers tell. No rule at all means always.
///
/// Descriptors 0 to 2 are no exception: `echo x >log` in a shell writes to the log as its standard
/// output.
fn rules(signature: &Signature) -> Result<Vec<Rule>, seccompiler::BackendError> {
    match signature.flags {
        Flags::In(index) if signature.kind == Kind::Create => CREATING
            .iter()
            .map(|flag| {
                let flag = u64::from(flag.cast_unsigned());
                let is_set = Is::MaskedEq(flag);
                let flags = Condition::new(argument(index), Width::Dword, is_set, flag)?;
                Rule::new(vec![flags])
            })
            .collect(),
        _ => signature.only.iter().map(|bits| all(bits)).collect(),
    }
}

fn all(bits: &[Bits]) -> Result<Rule, seccompiler::BackendError> {
    let condition = |bits: &Bits| {
        let Bits {
            argument: index,
            mask,
            are,
        } = *bits;
        Condition::new(argument(index), Width::Dword, Is::MaskedEq(mask), are)
    };
    Rule::new(bits.iter().map(condition).collect::<Result<_, _>>()?)
}

/// An open with one of these changes the directory or the file. `O_TMPFILE` does not: what it makes
/// gets a name by a link only.
pub(super) const CREATING: [i32; 2] = [libc::O_CREAT, libc::O_TRUNC];

fn argument(index: usize) -> u8 {
    u8::try_from(index).expect("a call has six arguments")
}
