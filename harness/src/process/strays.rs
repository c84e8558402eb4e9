//! What child processes leave behind: the rest of their group, and what has left the group.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::order::VARIABLE;
use super::procfs::{Stat, processes};
use super::stopwatch::Stopwatch;

/// Ends what is left of a group whose leader has just been reaped, and waits until it is gone: what
/// it still does in the store's directory would belong to no crash. Tells whether there was any.
///
/// A process that has left its group is not seen here; see [`end_strays`].
pub(super) fn end_group(group: Pid, limit: Duration) -> io::Result<bool> {
    // Process ids are handed out in turn: no other process has got this one since.
    match killpg(group, Signal::SIGKILL) {
        Err(Errno::ESRCH) => return Ok(false),
        sent => sent?,
    }
    let mut waited = Stopwatch::start();
    while group_is_alive(group)? {
        if waited.look() > limit {
            let reason = format!("process group {group} does not die");
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(true)
}

/// Whether any member can still do something. One that was not reaped yet cannot; a container may have
/// no process that reaps it.
fn group_is_alive(group: Pid) -> io::Result<bool> {
    let mut members = processes()?.filter_map(Stat::of);
    Ok(members.any(|stat| stat.group == group && stat.is_alive()))
}

/// Ends what children have left behind outside their groups (a daemon in a session of its own): it
/// still carries its ancestor's order, for a directory below `scratch`, in its environment. Returns
/// how many there were.
pub(crate) fn end_strays(scratch: &Path) -> io::Result<u64> {
    let marks = [
        format!("{VARIABLE}=").into_bytes(),
        scratch.to_string_lossy().into_owned().into_bytes(),
    ];
    let mut strays = 0;
    let processes = match processes() {
        // Where there is no /proc, no child could be started either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        processes => processes?,
    };
    for process in processes {
        // Others' cannot be read, and some are gone since.
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let [order, dir] = &marks;
        let ours = |variable: &[u8]| {
            variable.starts_with(order) && variable.windows(dir.len()).any(|part| part == dir)
        };
        if variables.any(ours) {
            match kill(process, Signal::SIGKILL) {
                Ok(()) => strays += 1,
                Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(strays)
}
