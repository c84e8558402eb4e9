//! What `/proc` says of processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Pid, Uid};

/// Of a clock tick in `/proc`: the same on all architectures.
const TICK: Duration = Duration::from_millis(10);

/// A process or a task, by its file `stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// `R`, `S`, `D`, `T`, `t`, `Z`, `X`.
    pub(super) state: char,
    pub(super) parent: Pid,
    pub(super) group: Pid,
    /// Time on a CPU, in ticks.
    cpu: Duration,
}

impl Stat {
    /// `None` if it is gone.
    pub(super) fn read(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    pub(super) fn of(process: Pid) -> Option<Self> {
        Self::read(Path::new(&format!("/proc/{process}/stat")))
    }

    fn parse(stat: &str) -> Option<Self> {
        // After the name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<i32>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: Pid::from_raw(number(1)?),
            group: Pid::from_raw(number(2)?),
            cpu: TICK * u32::try_from(number(11)? + number(12)?).ok()?,
        })
    }

    /// It can still do something. A process that was not reaped yet cannot.
    pub(super) fn is_alive(self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// A task at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) state: char,
    /// Its time on a CPU.
    pub(super) cpu: Duration,
    /// The time in which it was ready and waited for a CPU.
    pub(super) delay: Duration,
}

impl Task {
    /// `path` is the folder of the task. `None` if it is gone.
    fn read(path: &Path) -> Option<Self> {
        let stat = Stat::read(&path.join("stat"))?;
        let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let mut nanos = schedstat.split(' ').map_while(|field| field.parse().ok());
        Some(Self {
            state: stat.state,
            // Not all kernels have it.
            cpu: nanos.next().map_or(stat.cpu, Duration::from_nanos),
            delay: nanos.next().map_or(Duration::ZERO, Duration::from_nanos),
        })
    }
}

/// Tasks, by their ids.
pub(super) type Tasks = BTreeMap<i32, Task>;

/// All processes.
pub(super) fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some(Pid::from_raw(name.to_str()?.parse().ok()?))
    }))
}

/// The tasks of a process and of all that it has started. Empty where `/proc` does not say.
pub(super) fn tasks_below(root: Pid) -> Tasks {
    let mut others: Vec<(Pid, Stat)> = processes()
        .into_iter()
        .flatten()
        .filter_map(|process| Some((process, Stat::of(process)?)))
        .collect();
    let mut found: Vec<Pid> = Vec::new();
    loop {
        let (ours, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(process, stat)| {
            *process == root || stat.group == root || found.contains(&stat.parent)
        });
        if ours.is_empty() {
            break;
        }
        found.extend(ours.into_iter().map(|(process, _)| process));
        others = rest;
    }
    let folders = found
        .into_iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok());
    folders
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, Task::read(&entry.path())?))
        })
        .collect()
}

/// One thread of this process.
pub(super) fn own_thread(thread: Pid) -> Tasks {
    let path = format!("/proc/self/task/{thread}");
    let task = Task::read(Path::new(&path));
    task.map(|task| (thread.as_raw(), task))
        .into_iter()
        .collect()
}

/// The threads of a user, as far as `/proc` shows them.
pub(super) fn threads_of(user: Uid) -> u64 {
    let threads = processes().into_iter().flatten().map(|process| {
        let folder = format!("/proc/{process}/task");
        let owner = fs::metadata(&folder).map(|folder| folder.uid());
        let is_users = owner.is_ok_and(|owner| owner == user.as_raw());
        let threads = fs::read_dir(folder).ok().filter(|_| is_users);
        threads.map_or(0, |threads| threads.count() as u64)
    });
    threads.sum()
}

/// Where a task sleeps in the kernel, if that may be known.
pub(super) fn sleeps_in(task: i32) -> Option<String> {
    let place = fs::read_to_string(format!("/proc/{task}/wchan")).ok()?;
    (!matches!(place.trim(), "" | "0")).then(|| place.trim().to_owned())
}

/// Whether `/proc` shows the processes that this process sees, by the numbers that it knows. Children
/// open what they are handed through it.
///
/// # Errors
/// If it does not, what to do about it.
pub(crate) fn proc_is_ours() -> io::Result<()> {
    let me = std::process::id();
    let reason = match fs::read_link("/proc/self") {
        Err(error) => format!(
            "/proc/self: {error}: processes are started, watched and ended through /proc; mount it: \
             `mount -t proc proc /proc`"
        ),
        Ok(shown) if shown != Path::new(&me.to_string()) => format!(
            "/proc is of another pid namespace: this process is {me}, and /proc/self is {}; mount one for this \
             namespace: `mount -t proc proc /proc`, or `unshare --pid --fork --mount-proc`",
            shown.display()
        ),
        Ok(_) => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) R 1 (b) S 3 5 5 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 500 0 0";
        let stat = Stat::parse(stat).expect("a stat");
        assert_eq!((stat.state, stat.parent.as_raw()), ('S', 3));
        assert_eq!((stat.group.as_raw(), stat.cpu), (5, 42 * TICK));
    }

    #[test]
    fn this_process_is_found_with_its_threads() {
        proc_is_ours().expect("tests have a /proc");
        let me = nix::unistd::getpid();
        let tasks = tasks_below(me);
        let thread = nix::unistd::gettid();
        assert!(tasks.contains_key(&me.as_raw()), "{tasks:?}");
        assert!(tasks.contains_key(&thread.as_raw()), "{tasks:?}");
        assert_eq!(own_thread(thread).len(), 1);
    }
}
