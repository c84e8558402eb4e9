//! The kernel calls without a safe, complete wrapper: waiting for and resuming a tracee with any
//! signal (nix refuses the real-time ones), `PTRACE_LISTEN`, pidfds, and the registers that carry a
//! system call.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// What a wait reported of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It is gone.
    Exited(i32),
    /// It is gone: killed by this signal.
    Signaled(i32),
    /// At a call that the filter wants traced, before it is carried out.
    Seccomp,
    /// At the end of a call.
    SyscallExit,
    /// It made a new task.
    Born,
    /// It became another program.
    Exec,
    /// The whole process was stopped by a signal, and this task obeys.
    GroupStop,
    /// A new task's first stop, or the end of a group stop.
    Trap,
    /// It is about to receive a signal.
    Signal(i32),
}

impl Event {
    fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            return Self::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) {
            return Self::Signaled(libc::WTERMSIG(status));
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            0 if signal == libc::SIGTRAP | 0x80 => Self::SyscallExit,
            0 => Self::Signal(signal),
            libc::PTRACE_EVENT_SECCOMP => Self::Seccomp,
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                Self::Born
            }
            libc::PTRACE_EVENT_EXEC => Self::Exec,
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => Self::GroupStop,
            _ => Self::Trap,
        }
    }
}

/// Waits for any task that *this thread* traces: parallel tracers in one process must not take
/// each other's.
#[expect(
    unsafe_code,
    reason = "nix loses the task when it does not know the signal"
)]
pub(super) fn wait_any() -> Result<(Pid, Event), Errno> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int to `status`, which outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match Errno::result(pid) {
            Err(Errno::EINTR) => {}
            pid => return pid.map(|pid| (Pid::from_raw(pid), Event::of(status))),
        }
    }
}

/// How a stopped task goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resume {
    /// Freely, after receiving this signal (0: none).
    Run { signal: i32 },
    /// To the end of the call it is at.
    ToExit,
    /// Not at all: it stays in its group stop, but reports when that ends.
    Listen,
}

#[expect(
    unsafe_code,
    reason = "nix has no PTRACE_LISTEN and no real-time signals"
)]
pub(super) fn resume(task: Pid, how: Resume) -> Result<(), Errno> {
    let (request, signal) = match how {
        Resume::Run { signal } => (libc::PTRACE_CONT, signal),
        Resume::ToExit => (libc::PTRACE_SYSCALL, 0),
        Resume::Listen => (libc::PTRACE_LISTEN, 0),
    };
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests touch no memory of ours; the last argument is the signal's number.
    let result =
        unsafe { libc::ptrace(request, task.as_raw(), nothing, libc::c_long::from(signal)) };
    Errno::result(result).map(drop)
}

/// A process that can be killed from any thread at any time: unlike its id, this never comes to
/// mean another process.
#[derive(Debug)]
pub(super) struct PidFd(OwnedFd);

impl PidFd {
    /// The process must not have been reaped yet.
    #[expect(unsafe_code, reason = "neither std nor nix has it")]
    pub(super) fn open(process: Pid) -> io::Result<Self> {
        // SAFETY: the arguments are integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) };
        let fd = i32::try_from(Errno::result(fd)?).expect("descriptors are small");
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// SIGKILL; that the process is gone already is fine.
    #[expect(unsafe_code, reason = "neither std nor nix has it")]
    pub(super) fn kill(&self) {
        let info = std::ptr::null::<libc::siginfo_t>();
        let (fd, call) = (self.0.as_raw_fd(), libc::SYS_pidfd_send_signal);
        // SAFETY: the kernel accepts a null info and fills it in itself.
        let sent = unsafe { libc::syscall(call, fd, libc::SIGKILL, info, 0) };
        let sent = Errno::result(sent);
        debug_assert!(
            matches!(sent, Ok(_) | Err(Errno::ESRCH)),
            "it is our own child: {sent:?}"
        );
    }
}

/// A system call as the registers of a stopped task show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers(libc::user_regs_struct);

#[cfg(target_arch = "x86_64")]
impl Registers {
    pub(super) fn number(&self) -> u64 {
        self.0.orig_rax
    }

    pub(super) fn arguments(&self) -> [u64; 6] {
        let regs = &self.0;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]
    }

    fn argument_mut(&mut self, index: usize) -> &mut u64 {
        let regs = &mut self.0;
        match index {
            0 => &mut regs.rdi,
            1 => &mut regs.rsi,
            2 => &mut regs.rdx,
            3 => &mut regs.r10,
            4 => &mut regs.r8,
            _ => &mut regs.r9,
        }
    }

    fn returned(&self) -> u64 {
        self.0.rax
    }

    fn returned_mut(&mut self) -> &mut u64 {
        &mut self.0.rax
    }

    /// Makes the kernel pass over the call that the task is about to make. No call is restarted that has this
    /// number, also where a signal is waiting at its end.
    pub(super) fn skip(mut self, task: Pid) -> Result<(), Errno> {
        self.0.orig_rax = u64::MAX;
        ptrace::setregs(task, self.0)
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    pub(super) fn number(&self) -> u64 {
        self.0.regs[8]
    }

    pub(super) fn arguments(&self) -> [u64; 6] {
        std::array::from_fn(|index| self.0.regs[index])
    }

    fn argument_mut(&mut self, index: usize) -> &mut u64 {
        &mut self.0.regs[index]
    }

    fn returned(&self) -> u64 {
        self.0.regs[0]
    }

    fn returned_mut(&mut self) -> &mut u64 {
        &mut self.0.regs[0]
    }

    /// Makes the kernel pass over the call that the task is about to make. Its number has been read from the
    /// register already, so it is set where the kernel keeps it.
    #[expect(unsafe_code, reason = "nix does not have this set of registers")]
    pub(super) fn skip(self, task: Pid) -> Result<(), Errno> {
        const NT_ARM_SYSTEM_CALL: usize = 0x404;
        let mut number: libc::c_int = -1;
        let mut registers = libc::iovec {
            iov_base: (&raw mut number).cast(),
            iov_len: size_of::<libc::c_int>(),
        };
        let set = std::ptr::without_provenance_mut::<libc::c_void>(NT_ARM_SYSTEM_CALL);
        let request = libc::PTRACE_SETREGSET;
        // SAFETY: the kernel reads one int through the vector; both outlive the call.
        let result = unsafe { libc::ptrace(request, task.as_raw(), set, &raw mut registers) };
        Errno::result(result).map(drop)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("plugpull traces system calls on x86_64 and aarch64 only");

impl Registers {
    pub(super) fn of(task: Pid) -> Result<Self, Errno> {
        ptrace::getregs(task).map(Self)
    }

    /// What the call returned; only at its end.
    pub(super) fn result(&self) -> io::Result<u64> {
        let returned = self.returned();
        // The kernel's convention: the last page of numbers is errors.
        match i32::try_from(returned.wrapping_neg()) {
            Ok(errno @ 1..=4095) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(returned),
        }
    }

    /// Changes an argument of the call that the task is about to make.
    pub(super) fn set_argument(mut self, task: Pid, index: usize, to: u64) -> Result<(), Errno> {
        *self.argument_mut(index) = to;
        ptrace::setregs(task, self.0)
    }

    /// Makes this error the result of the call that has ended.
    pub(super) fn set_error(mut self, task: Pid, errno: i32) -> Result<(), Errno> {
        *self.returned_mut() = i64::from(-errno).cast_unsigned();
        ptrace::setregs(task, self.0)
    }
}
