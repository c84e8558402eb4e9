//! The tracer's half: every task of the child, and the loop that waits for their stops.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::{Pid, gettid};

use super::answer::Altered;
use super::call::{Call, Kind};
use super::gate::Gate;
use super::observer::{Decision, Observer};
use super::resolve;
use super::run::{End, Run};
use super::sys::{Event, Registers, Resume, wait_any};
use super::tasks::{
    alive, cannot, go_on, has_ended, is_end, kill_if_alive, status_field, tracer_of,
};

/// What a task is doing.
#[derive(Debug)]
enum Task {
    /// Running, or stopped for a moment only, or held at the gate.
    Free,
    /// Carrying out a call that was reported.
    In(Box<Inside>),
}

/// A call that was reported and has not ended.
#[derive(Debug)]
struct Inside {
    call: Call,
    altered: Altered,
    /// The child is killed at its end.
    last: bool,
}

/// What came of attaching to a process.
pub(super) enum Seized<'a, O: Observer> {
    Attached(Tracees<'a, O>),
    /// It came to this end meanwhile, and was waited for.
    Ended(End),
    /// It had ended before, and was not waited for.
    Gone,
}

/// All tasks that this thread traces. Dropping it leaves none of them alive.
pub(super) struct Tracees<'a, O> {
    root: Pid,
    dir: &'a Path,
    wait_in_rings: bool,
    observer: &'a mut O,
    tasks: BTreeMap<Pid, Task>,
    gate: Gate<Pid>,
    calls: u64,
    all_reaped: bool,
}

impl<'a, O: Observer> Tracees<'a, O> {
    /// Attaches to every thread of a process.
    pub(super) fn seize(
        root: Pid,
        dir: &'a Path,
        wait_in_rings: bool,
        observer: &'a mut O,
    ) -> io::Result<Seized<'a, O>> {
        let mut tracees = Self {
            root,
            dir,
            wait_in_rings,
            observer,
            tasks: BTreeMap::new(),
            gate: Gate::default(),
            calls: 0,
            all_reaped: false,
        };
        // A thread that is ours starts others that come to us by themselves, but not if it had begun to start
        // one when it became ours, and that one may not be seen yet. So: until a look shows nothing new while
        // all of ours are stopped, for a stopped thread starts nothing.
        let mut halted = BTreeMap::new();
        loop {
            let new = tracees.seize_new_threads()?;
            if new.is_empty() {
                break;
            }
            if let Some(end) = tracees.halt(new, &mut halted)? {
                return Ok(Seized::Ended(end));
            }
        }
        for (task, how) in halted {
            go_on(task, how)?;
        }
        Ok(if tracees.tasks.contains_key(&root) {
            Seized::Attached(tracees)
        } else {
            Seized::Gone
        })
    }

    /// Waits until these threads are stopped, and takes note of how each of them goes on. Returns how the
    /// process ended, if it did.
    fn halt(
        &mut self,
        mut running: BTreeSet<Pid>,
        halted: &mut BTreeMap<Pid, Resume>,
    ) -> io::Result<Option<End>> {
        for task in &running {
            alive(ptrace::interrupt(*task), "stop", *task)?;
        }
        loop {
            // A leader that ended before its other threads says nothing.
            running.retain(|task| !has_ended(*task));
            if running.is_empty() {
                return Ok(None);
            }
            let waited = wait_any().map_err(|error| cannot("wait for", self.root, error));
            let (task, event) = waited?;
            running.remove(&task);
            let how = match event {
                Event::Exited(_) | Event::Signaled(_) => {
                    self.tasks.remove(&task);
                    halted.remove(&task);
                    if task == self.root {
                        return Ok(event.end());
                    }
                    continue;
                }
                Event::Born => {
                    let born = alive(ptrace::getevent(task), "look at", task)?;
                    if let Some(born) = born.and_then(|born| i32::try_from(born).ok()) {
                        let born = Pid::from_raw(born);
                        self.tasks.entry(born).or_insert(Task::Free);
                        if !halted.contains_key(&born) {
                            running.insert(born);
                        }
                    }
                    Resume::Run { signal: 0 }
                }
                Event::GroupStop => Resume::Listen,
                Event::Signal(signal) => Resume::Run { signal },
                _ => Resume::Run { signal: 0 },
            };
            self.tasks.entry(task).or_insert(Task::Free);
            halted.insert(task, how);
        }
    }

    /// Those that are ours now and were not before.
    fn seize_new_threads(&mut self) -> io::Result<BTreeSet<Pid>> {
        let options = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_EXITKILL;
        let mut new = BTreeSet::new();
        let threads = match fs::read_dir(format!("/proc/{}/task", self.root)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(new),
            threads => threads?,
        };
        for entry in threads {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let thread = Pid::from_raw(thread);
            if self.tasks.contains_key(&thread) {
                continue;
            }
            match ptrace::seize(thread, options) {
                // It is also refused where it came to us by itself since we looked.
                Err(Errno::EPERM) if tracer_of(thread) == Some(gettid()) => {}
                Err(Errno::ESRCH) => continue,
                Err(Errno::EPERM) if has_ended(thread) => continue,
                seized => seized.map_err(|error| cannot("attach to", thread, error))?,
            }
            self.tasks.insert(thread, Task::Free);
            new.insert(thread);
        }
        Ok(new)
    }

    /// Until the end, whatever it is. Afterwards nothing is alive.
    pub(super) fn run(mut self) -> io::Result<Run> {
        let end = loop {
            let waited = wait_any().map_err(|error| cannot("wait for", self.root, error));
            let (task, event) = waited?;
            if let Some(end) = self.step(task, event)? {
                break end;
            }
        };
        let left_behind = match end {
            End::Exited(_) | End::Signaled(_) => self.processes_alive(),
            _ => 0,
        };
        self.kill_and_reap()?;
        Ok(Run {
            end,
            calls: self.calls,
            left_behind,
        })
    }

    fn step(&mut self, task: Pid, event: Event) -> io::Result<Option<End>> {
        let run = |signal| Resume::Run { signal };
        match event {
            Event::Exited(_) | Event::Signaled(_) => {
                if task == self.root {
                    self.tasks.remove(&task);
                    return Ok(event.end());
                }
                return self.forget(task);
            }
            Event::Seccomp => return self.arrive(task),
            Event::SyscallExit => return self.leave(task),
            Event::Exec => {
                // Its other threads are gone. If this was not the leader, it has taken the
                // leader's id, and nobody reports the end of its own.
                let former = alive(ptrace::getevent(task), "look at", task)?;
                let former = former.and_then(|former| i32::try_from(former).ok());
                let former = former.map_or(task, Pid::from_raw);
                if former != task {
                    self.break_off(task);
                }
                self.tasks.insert(task, Task::Free);
                let ended = self.admit_after(task)?;
                let ended = match ended {
                    None if former != task => self.forget(former)?,
                    ended => ended,
                };
                if ended.is_some() {
                    return Ok(ended);
                }
                go_on(task, run(0))?;
            }
            // A new task may report before or after its maker: both make it known.
            Event::Born => {
                let born = alive(ptrace::getevent(task), "look at", task)?;
                if let Some(born) = born.and_then(|born| i32::try_from(born).ok()) {
                    self.tasks.entry(Pid::from_raw(born)).or_insert(Task::Free);
                }
                go_on(task, run(0))?;
            }
            Event::Trap => {
                self.tasks.entry(task).or_insert(Task::Free);
                go_on(task, run(0))?;
            }
            Event::GroupStop => go_on(task, Resume::Listen)?,
            Event::Signal(signal) => go_on(task, run(signal))?,
        }
        Ok(None)
    }

    /// A task is at a call that the filter knows.
    fn arrive(&mut self, task: Pid) -> io::Result<Option<End>> {
        let Some(call) = self.call_of(task)? else {
            go_on(task, Resume::Run { signal: 0 })?;
            return Ok(None);
        };
        let waits_for_disk = self.wait_in_rings && call.hands_over();
        if (waits_for_disk || !call.overlaps_others()) && !self.gate.enter(task) {
            return Ok(None);
        }
        self.begin(task, call)
    }

    fn call_of(&mut self, task: Pid) -> io::Result<Option<Call>> {
        let registers = alive(Registers::of(task), "read the registers of", task)?;
        let holds = &mut |kind, file, syncs| self.observer.holds(kind, file, syncs);
        Ok(registers.and_then(|registers| resolve::resolve(task, &registers, self.dir, holds)))
    }

    fn begin(&mut self, task: Pid, call: Call) -> io::Result<Option<End>> {
        self.calls += 1;
        let decision = self.observer.before(&call);
        if decision == Decision::Kill {
            return Ok(Some(End::Killed));
        }
        let last = matches!(decision, Decision::ShortenThenKill(_));
        let altered = Altered::by(decision, task, &call)?;
        if self.wait_in_rings && call.hands_over() {
            let [_, requests, _, flags, ..] = call.arguments;
            set_waiting(task, requests, flags | IORING_ENTER_GETEVENTS)?;
        }
        let inside = Inside {
            call,
            altered,
            last,
        };
        self.tasks.insert(task, Task::In(Box::new(inside)));
        go_on(task, Resume::ToExit)?;
        Ok(None)
    }

    /// A task's call is over.
    fn leave(&mut self, task: Pid) -> io::Result<Option<End>> {
        if let Some(Task::In(inside)) = self.tasks.insert(task, Task::Free)
            && let Some(registers) = alive(Registers::of(task), "read the registers of", task)?
        {
            let Inside {
                mut call,
                altered,
                last,
            } = *inside;
            if self.wait_in_rings && call.hands_over() {
                // A system call leaves its arguments as they were.
                let [_, _, waiting, flags, ..] = call.arguments;
                set_waiting(task, waiting, flags)?;
            }
            let result = altered.end(task, &call, registers)?;
            if let (Kind::Write | Kind::Copy, Ok(written)) = (call.kind, &result) {
                resolve::confirm(&mut call, *written);
            }
            let flow = self.observer.after(&call, result);
            if last || flow.is_break() {
                return Ok(Some(End::Killed));
            }
        }
        go_on(task, Resume::Run { signal: 0 })?;
        self.admit_after(task)
    }

    /// Lets in whoever has waited for this task to leave the gate.
    fn admit_after(&mut self, mut task: Pid) -> io::Result<Option<End>> {
        while let Some(next) = self.gate.leave(task) {
            // Looked at again: what came before may have changed its file's position or name.
            if let Some(call) = self.call_of(next)? {
                return self.begin(next, call);
            }
            go_on(next, Resume::Run { signal: 0 })?;
            task = next;
        }
        Ok(None)
    }

    fn forget(&mut self, task: Pid) -> io::Result<Option<End>> {
        self.break_off(task);
        self.admit_after(task)
    }

    /// A task is gone, perhaps in the middle of a call.
    fn break_off(&mut self, task: Pid) {
        if let Some(Task::In(inside)) = self.tasks.remove(&task) {
            self.observer.broken_off(&inside.call);
        }
    }

    /// How many processes have not ended.
    fn processes_alive(&self) -> usize {
        let alive = self.tasks.keys().filter_map(|task| {
            let state = status_field(*task, "State:")?;
            let process = status_field(*task, "Tgid:")?;
            (!is_end(&state)).then_some(process)
        });
        alive.collect::<BTreeSet<_>>().len()
    }
}

impl<O> Tracees<'_, O> {
    fn kill_and_reap(&mut self) -> io::Result<()> {
        self.all_reaped = true;
        for task in self.tasks.keys() {
            // A thread's id means its process here. It is not reaped yet, so it is still its own.
            kill_if_alive(*task)?;
        }
        loop {
            match wait_any() {
                Ok((_, Event::Exited(_) | Event::Signaled(_))) => {}
                // Born unseen, or stopped before the signal came.
                Ok((task, _)) => kill_if_alive(task)?,
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<O> Drop for Tracees<'_, O> {
    fn drop(&mut self) {
        // Reached on an error, and when a callback panics.
        if !self.all_reaped
            && let Err(error) = self.kill_and_reap()
        {
            eprintln!("cannot end process {}: {error}", self.root);
        }
    }
}

/// Of `io_uring_enter`: also waits for completions.
const IORING_ENTER_GETEVENTS: u64 = 1;

/// Sets how many completions an `io_uring_enter` waits for, and its flags.
fn set_waiting(task: Pid, completions: u64, flags: u64) -> io::Result<()> {
    for (argument, value) in [(2, completions), (3, flags)] {
        let set = Registers::of(task).and_then(|r| r.set_argument(task, argument, value));
        alive(set, "change the call of", task)?;
    }
    Ok(())
}

impl Event {
    /// How a process ends, if it does.
    fn end(self) -> Option<End> {
        match self {
            Self::Exited(status) => Some(End::Exited(status)),
            Self::Signaled(signal) => Some(End::Signaled(signal)),
            _ => None,
        }
    }
}
