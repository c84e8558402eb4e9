//! `fusermount3`, which mounts a file system for a user who is not root: in the mounts that all processes
//! see, so it has to be taken down also when this process is killed.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::error::{at_path, doing};

/// The program, and where it is from.
const PROGRAM: &str = "fusermount3";
const ADVICE: &str = "install it (Debian: `apt-get install fuse3`), or be root";

/// Unmounts a directory when this process is gone. It is told when that is not to be done any more.
#[derive(Debug)]
pub(super) struct Guard(Child);

/// Waits for a line. At the end of the pipe, unmounts: its other side was killed.
const SCRIPT: &str = "read -r _ || exec fusermount3 -u -z -q -- \"$0\"";

impl Guard {
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        available()?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).arg(dir);
        // Of a group of its own: Ctrl-C is for the harness.
        let guard = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Ok(Self(guard.map_err(doing("start the guard of a mount"))?))
    }

    /// It is unmounted.
    pub(super) fn dismiss(&mut self) -> io::Result<()> {
        if let Some(mut stdin) = self.0.stdin.take() {
            stdin.write_all(b"\n")?;
        }
        self.0.wait().map(drop)
    }

    /// It is in use: takes it out of sight.
    pub(super) fn detach(&mut self) -> io::Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().map(drop)
    }
}

/// Mounts FUSE on a directory, and returns its descriptor, which the helper sends through a socket. The
/// caller's descriptors are its own: one of them is inherited by the helper.
pub(super) fn mount(dir: &Path, options: &str) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    fcntl_setfd(&theirs, FdFlags::empty())?;
    let asked = Command::new(PROGRAM)
        .args(["-o", options, "--"])
        .arg(dir)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(doing(format!("run {PROGRAM}")))?;
    drop(theirs);
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        let advice = if said.contains("/dev/fuse") {
            "let users open it (`chmod 666 /dev/fuse`, as Debian has it), or be root"
        } else {
            ADVICE
        };
        return Err(io::Error::other(format!("{}; {advice}", said.trim())));
    }
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&ours, &mut bytes, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let none = || io::Error::other(format!("{PROGRAM} has sent no descriptor"));
    rights.flatten().next().ok_or_else(none)
}

/// Unmounts a directory; one that is in use is an error.
pub(super) fn unmount(dir: &Path) -> io::Result<()> {
    let asked = Command::new(PROGRAM)
        .args(["-u", "--"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(doing(format!("run {PROGRAM}")))?;
    if asked.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&asked.stderr);
    if said.contains("busy") {
        return Err(Errno::EBUSY.into());
    }
    let told = format!("{PROGRAM}: {}, {}", asked.status, said.trim());
    Err(at_path("unmount", dir)(io::Error::other(told)))
}

/// Whether it is there.
///
/// # Errors
/// How to get it.
pub(super) fn available() -> io::Result<()> {
    let asked = Command::new(PROGRAM)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(asked) if asked.status.success() => Ok(()),
        Ok(asked) => Err(io::Error::other(format!("{PROGRAM}: {}", asked.status))),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{PROGRAM}, which mounts for an ordinary user: {error}; {ADVICE}"),
        )),
    }
}
