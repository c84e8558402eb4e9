//! A group on its way to the disk, and the turn that follows it.

use core::mem;

use super::host::Host;
use super::shared::Group;
use super::state::{State, Taken};
use super::terms::Outcome;
use super::wakes::Wakes;
use crate::sync::{Arc, Mutex, Weak, lock};

/// One group on its way to the disk. At most one exists at a time.
///
/// Whoever holds it calls [`begin`](Self::begin), writes, and calls [`finish`](Self::finish).
/// Dropped before it began, its members learn that nothing was written and the log goes on; dropped
/// later, as by a panic, the log is poisoned.
pub(crate) struct Flush<H: Host> {
    group: Arc<Group<H>>,
    /// The buffer is to be handed back empty. Its wakes are dropped behind the log.
    pub(crate) taken: Taken<H>,
    home: H::Home,
    begun: bool,
    concluded: bool,
}

/// What follows a group.
pub(crate) enum Next<H: Host> {
    /// Nothing, or nothing here.
    Nothing,
    /// The next group, which is due.
    Group(Flush<H>),
    /// The right to take the next group. Whoever keeps it for a moment gets a larger one.
    Turn(Turn<H>),
}

impl<H: Host> Flush<H> {
    pub(super) fn new(group: Arc<Group<H>>, taken: Taken<H>, home: H::Home) -> Self {
        Self {
            group,
            taken,
            home,
            begun: false,
            concluded: false,
        }
    }

    /// The log to write to.
    pub(crate) fn group(&self) -> &Arc<Group<H>> {
        &self.group
    }

    /// Says that the disk is about to be touched.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// Wakes those whom taking this group has given room.
    pub(super) fn wake(&mut self) {
        self.taken.wakes.wake();
    }

    /// Gives the members their outcome. With `go_on`, the next group may go on here, if its first
    /// live member lives where this flush ran; else that member is woken to lead it.
    pub(crate) fn finish(mut self, outcome: Outcome<H::Error>, go_on: bool) -> Next<H> {
        let mut next = self.conclude(outcome, go_on);
        let state = Arc::clone(&self.group.state);
        let mut wakes = mem::take(&mut self.taken.wakes);
        // Let go of the log before anybody who waits can go on: he may close it and open it again.
        drop(self);
        wakes.wake();
        let memory = wakes.memory();
        match &mut next {
            Next::Group(flush) => {
                flush.wake();
                flush.taken.wakes = Wakes::reusing(memory);
            }
            Next::Turn(turn) => turn.wakes = Wakes::reusing(memory),
            Next::Nothing if memory.capacity() > 0 => lock(&state).wakes_memory = memory,
            Next::Nothing => {}
        }
        next
    }

    /// Gives the members their outcome. Those to be woken are in `wakes` then.
    fn conclude(&mut self, outcome: Outcome<H::Error>, go_on: bool) -> Next<H> {
        self.concluded = true;
        let shared = Arc::clone(&self.group.state);
        let mut state = lock(&shared);
        state.land(&mut self.taken, outcome);
        state.spare = mem::take(&mut self.taken.buffer);
        let first = state.forming.members.first();
        let elsewhere = first.is_some_and(|id| state.slots[id].home != self.home);
        if go_on && !elsewhere {
            let woken = self.taken.wakes.len();
            if state.is_worth_waiting(woken) {
                let number = state.hold(self.home);
                let company = state.forming.joined + woken;
                state.settle(&mut self.taken.wakes);
                drop(state);
                return Next::Turn(Turn {
                    group: Arc::downgrade(&self.group),
                    state: shared,
                    home: self.home,
                    number: Some(number),
                    company,
                    wakes: Wakes::default(),
                });
            }
            if first.is_some() && state.may_go() {
                return Next::Group(Flush::new(Arc::clone(&self.group), state.take(), self.home));
            }
        }
        state.settle(&mut self.taken.wakes);
        Next::Nothing
    }
}

impl<H: Host> Drop for Flush<H> {
    fn drop(&mut self) {
        if !self.concluded {
            let error = self.group.host.lost(self.begun);
            let outcome = if self.begun {
                Outcome::Unknown(error)
            } else {
                Outcome::NotWritten(error)
            };
            self.taken.buffer = H::Buffer::default();
            // Nobody may go on here: this may be a runtime that is shutting down.
            let next = self.conclude(outcome, false);
            debug_assert!(
                matches!(next, Next::Nothing),
                "nobody asked for the next group"
            );
        }
    }
}

/// The right to take the next group, kept while the members of the last one come back.
///
/// It does not keep the log open. While it is held, no member that lives where it is held leads;
/// dropped, it wakes whoever is responsible.
pub(crate) struct Turn<H: Host> {
    group: Weak<Group<H>>,
    state: Arc<Mutex<State<H>>>,
    home: H::Home,
    /// Tells it from turns after it, once somebody has led over its head. `None` when it is used up.
    number: Option<u64>,
    /// How many members the next group has if everybody comes back who was woken.
    company: usize,
    /// Empty, for its memory.
    wakes: Wakes,
}

impl<H: Host> Turn<H> {
    /// How many have joined the next group, and how many could.
    pub(crate) fn gathered(&self) -> (usize, usize) {
        (lock(&self.state).forming.joined, self.company)
    }

    /// Takes the next group if it is due and its first live member lives here.
    pub(crate) fn take(mut self) -> Option<Flush<H>> {
        let mut flush = self.end(true);
        if let Some(flush) = &mut flush {
            flush.wake();
        }
        flush
    }

    fn end(&mut self, go_on: bool) -> Option<Flush<H>> {
        let number = self.number.take()?;
        let mut flush = None;
        {
            let mut state = lock(&self.state);
            if state.release(number) {
                let first = state.forming.members.first();
                let at_home = first.is_some_and(|id| state.slots[id].home == self.home);
                // Its first live member has the log, so it is there, and this one more reference
                // to it is a flush's.
                let group = (go_on && at_home && state.may_go())
                    .then(|| self.group.upgrade())
                    .flatten();
                match group {
                    Some(group) => flush = Some(Flush::new(group, state.take(), self.home)),
                    None => state.settle(&mut self.wakes),
                }
            }
        }
        self.wakes.wake();
        let memory = self.wakes.memory();
        match &mut flush {
            // Whom the taking gave room is still to be woken: that memory stays for the next time.
            Some(flush) if flush.taken.wakes.len() == 0 => {
                flush.taken.wakes = Wakes::reusing(memory);
            }
            _ if memory.capacity() > 0 => lock(&self.state).wakes_memory = memory,
            _ => {}
        }
        flush
    }
}

impl<H: Host> Drop for Turn<H> {
    fn drop(&mut self) {
        let next = self.end(false);
        debug_assert!(next.is_none(), "nobody asked for the next group");
    }
}
