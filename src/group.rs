//! Write groups: who leads, who follows, who waits, and what each of them learns.
//!
//! A state machine behind one Mutex, with Wakers. It does no I/O, reads no clock and knows no
//! runtime: the log is its [`Host`]. `tests/loom.rs` compiles this file against loom's types and
//! explores its interleavings, so it names nothing but `crate::sync` and core, and it holds the
//! append future's poll *and* Drop: models drop what users drop.
//!
//! # The way of an append
//!
//! ```text
//!            no room                 room               group taken             outcome
//! Member ──────────────▶ Queued ──────────▶ Granted
//!    │                                         │ polled
//!    └────────── room ────────────────▶ Joined ◀┘ ──────▶ (in flight) ──────▶ Done
//! ```
//!
//! A member *joins* the forming group by encoding its entries into the group's buffer. A group that
//! is *due* is *taken* by whoever notices first when no flush is in flight: a member that is
//! polled, or the flush before it as it ends. The taker owns a [`Flush`], which lives in no
//! member's future; dropping any member therefore loses, delays and fails nobody else.
//!
//! # Who is responsible
//!
//! The forming group's *first live member* is responsible for it: it holds the timer, and it is
//! woken when the group should go and nobody else is there to take it. Members stand in a linked
//! list, so when the first one is dropped the next is first, and is woken to take over.
//!
//! The invariant, true whenever the lock is free: if a group may go (`State::may_go`), somebody
//! who can take it has been woken and not been polled since.
//!
//! # The turn between two groups
//!
//! Whoever ended a group with company may keep the *turn* ([`Turn`]) for a moment: no group goes
//! meanwhile, so that the members just woken can join the next one, instead of finding it gone and
//! halving every group after it. A turn that is given back, used or dropped restores the
//! invariant. It binds only those who live where it is held: a runtime that nobody drives any
//! more must not hold up the members on another, so they lead over its head.
//!
//! # A race that cannot happen: two leaders for one group
//!
//! ```text
//! member that fills group 7            member whose timer fires
//! joins, group is full, takes 7
//!                                      locks, sees that group 8 is forming
//! owns Flush 7                         its expiry names group 7: nothing to do
//! ```
//!
//! Without the group's number the second one would take group 8 before its time, or group 7 twice.

// Named by path, so that the loom models find the same files.
#[path = "group/flush.rs"]
mod flush;
#[path = "group/slots.rs"]
mod slots;
#[path = "group/state.rs"]
mod state;
#[path = "group/wakes.rs"]
mod wakes;

use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

pub(crate) use self::flush::{Flush, Next, Turn};
use self::slots::{SlotId, Stage};
use self::state::{Life, State};
use self::wakes::Wakes;
use crate::sync::{Arc, Mutex, lock};

/// What the write groups need from the log around them.
pub(crate) trait Host: Sized {
    /// Where members encode their entries.
    type Buffer: Default;
    /// Why a flush failed.
    type Error: Clone;
    /// When a group's time is up.
    type Deadline: Copy;
    /// Where a member is polled: a flush ends with the runtime that runs it, and goes on only for
    /// its own members.
    type Home: Copy + PartialEq;

    /// Starts a flush. Called outside the lock, in the poll of some member. May run it to its end.
    fn lead(&self, flush: Flush<Self>);

    /// Where the current task runs.
    fn home(&self) -> Self::Home;

    /// The error for the members of a flush that was dropped before it began, or half-way.
    fn lost(&self, begun: bool) -> Self::Error;
}

/// A member's view of time. Armed only by the member that is responsible for a group.
pub(crate) trait Timer<D> {
    /// The deadline of a group that begins now.
    fn deadline(&mut self) -> D;

    /// Ready once `deadline` has passed.
    fn poll(&mut self, deadline: D, cx: &mut Context<'_>) -> Poll<()>;
}

/// When a group is due, apart from being full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as no flush is in flight.
    Eager,
    /// When its first live member's timer fires.
    Timed,
}

/// What bounds a group and the state around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) pace: Pace,
    /// Most bytes in a group. A single member never exceeds it: the caller has checked.
    pub(crate) bytes: usize,
    /// Most entries in a group; a batch may exceed it alone.
    pub(crate) entries: u32,
    /// Most members at once, in all stages.
    pub(crate) members: usize,
}

/// What a member takes up in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    pub(crate) entries: u32,
}

impl Room {
    fn add(&mut self, other: Room) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }

    fn give_back(&mut self, other: Room) {
        self.bytes -= other.bytes;
        self.entries -= other.entries;
    }
}

/// What a member wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Its entries made durable.
    Entries,
    /// A trim position made durable.
    Trim(u64),
    /// Everything before it made durable. For closing.
    Barrier,
    /// A seal written. For closing, behind a barrier.
    Seal,
}

/// Why a member's ask was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<E> {
    /// Its flush failed before or while writing, and nothing of it is in the log.
    NotWritten(E),
    /// Its flush failed, and nobody knows what the disk holds.
    OutcomeUnknown(E),
    /// An earlier flush failed that way.
    Poisoned(E),
    /// The log is closed or closing.
    Closed,
    /// Too many members.
    Overloaded,
}

/// How a flush ended.
#[derive(Debug)]
pub(crate) enum Outcome<E> {
    /// The group survives a crash from now on.
    Durable,
    /// Nothing of the group is in the log, which goes on as it was.
    NotWritten(E),
    /// The same, but the trim position that came with the group is durable.
    OnlyTrim(E),
    /// Nothing of the group is in the log, which takes nothing more: it is poisoned.
    Stopped(E),
    /// Nobody knows what the disk holds: the log is poisoned.
    Unknown(E),
}

/// The write groups of one log.
pub(crate) struct Group<H: Host> {
    host: H,
    /// Apart from the host: whoever holds a turn holds the state, but not the log.
    state: Arc<Mutex<State<H>>>,
}

impl<H: Host> Group<H> {
    /// Groups that begin at `next_seq`.
    pub(crate) fn new(host: H, limits: Limits, next_seq: u64, trim_seq: u64) -> Self {
        let state = State::new(limits, next_seq, trim_seq);
        Self {
            host,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn host(&self) -> &H {
        &self.host
    }

    /// Every entry below it is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        lock(&self.state).next_seq
    }

    /// Every entry below it has been trimmed, durably.
    pub(crate) fn trim_seq(&self) -> u64 {
        lock(&self.state).trim_seq
    }

    /// Poisons the log for a reason found outside of a flush. A flush that is in flight ends as it will.
    pub(crate) fn stop(&self, error: H::Error) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.poison(error, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Lets nobody else in. Members that wait for room are refused; those that have joined will be
    /// written.
    pub(crate) fn begin_closing(&self) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if matches!(state.life, Life::Open) {
            state.life = Life::Closing;
            state.turn_away(&Refusal::Closed, &mut wakes);
        }
        drop(state);
        wakes.wake();
    }
}

/// A member's future: an append, a trim or a step of closing. Resolves to the sequence number of
/// its first entry.
///
/// Cancel safety: it may be dropped at any time. If it had joined a group, its entries may or may
/// not end up in the log; nobody else is lost, delayed or failed.
/// A future that is kept but not polled keeps its place in line, as with any fair lock.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Member<'a, H: Host, T, F> {
    group: &'a Arc<Group<H>>,
    ask: Ask,
    room: Room,
    timer: T,
    /// Encodes the entries; used up when the member joins.
    encode: Option<F>,
    slot: Option<SlotId>,
    /// The group whose deadline this member has seen pass.
    expired: Option<u64>,
}

impl<'a, H: Host, T, F> Member<'a, H, T, F> {
    /// `encode` writes exactly `room`'s entries.
    pub(crate) fn new(group: &'a Arc<Group<H>>, ask: Ask, room: Room, timer: T, encode: F) -> Self {
        Self {
            group,
            ask,
            room,
            timer,
            encode: Some(encode),
            slot: None,
            expired: None,
        }
    }
}

/// What a member does next, outside the lock.
enum Step<H: Host> {
    Return(Result<u64, Refusal<H::Error>>),
    Lead(Flush<H>),
    WaitUntil { group: u64, deadline: H::Deadline },
    Wait,
}

impl<H, T, F> Member<'_, H, T, F>
where
    H: Host,
    T: Timer<H::Deadline>,
    F: FnOnce(&mut H::Buffer),
{
    /// One step of a poll, under the lock. A waker to be dropped outside it is put into `replaced`.
    fn step(
        &mut self,
        state: &mut State<H>,
        cx: &Context<'_>,
        replaced: &mut Option<Waker>,
    ) -> Step<H> {
        let id = match self.slot {
            None => {
                if let Some(result) = state.turn_in(self.ask) {
                    return Step::Return(result);
                }
                let home = self.group.host.home();
                let members_max = state.limits.members;
                let id = state.slots.insert(
                    (self.ask, self.room),
                    home,
                    cx.waker().clone(),
                    members_max,
                );
                self.slot = Some(id);
                // Whoever brings no entries needs no room. The others may not overtake those in
                // line.
                let in_line = state.queue.first().is_some() || !state.fits(self.room);
                if self.ask == Ask::Entries && in_line {
                    state.slots[id].stage = Stage::Queued;
                    state.slots.push_back(&mut state.queue, id);
                } else {
                    self.join(state, id);
                }
                id
            }
            Some(id) => {
                match &state.slots[id].stage {
                    Stage::Done(_) => {
                        let done = mem::replace(&mut state.slots[id].stage, Stage::Free);
                        *replaced = state.slots.remove(id);
                        self.slot = None;
                        let Stage::Done(result) = done else {
                            unreachable!("matched above")
                        };
                        return Step::Return(result);
                    }
                    Stage::Granted => self.join(state, id),
                    _ => {}
                }
                let known = &mut state.slots[id].waker;
                if !known
                    .as_ref()
                    .is_some_and(|known| known.will_wake(cx.waker()))
                {
                    *replaced = known.replace(cx.waker().clone());
                }
                id
            }
        };
        if self.expired.take() == Some(state.forming.id) {
            state.forming.expired = true;
        }
        if state.may_go_over(|| self.group.host.home()) {
            let home = self.group.host.home();
            return Step::Lead(state.take(Arc::clone(self.group), home));
        }
        // Also while somebody waits for room: he may give up, and then the timer is needed.
        let responsible = state.forming.members.first() == Some(id);
        if responsible && !state.is_due_for_good() {
            let deadline = *state
                .forming
                .deadline
                .get_or_insert_with(|| self.timer.deadline());
            state.forming.timer_holder = id;
            return Step::WaitUntil {
                group: state.forming.id,
                deadline,
            };
        }
        Step::Wait
    }

    fn join(&mut self, state: &mut State<H>, id: SlotId) {
        let encode = self.encode.take().expect("a member joins once");
        state.join(id, self.ask, encode);
    }
}

impl<H, T, F> Future for Member<'_, H, T, F>
where
    H: Host,
    T: Timer<H::Deadline> + Unpin,
    F: FnOnce(&mut H::Buffer) + Unpin,
{
    type Output = Result<u64, Refusal<H::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let mut replaced = None;
            let step = {
                let mut state = lock(&this.group.state);
                this.step(&mut state, cx, &mut replaced)
            };
            drop(replaced);
            match step {
                Step::Return(result) => return Poll::Ready(result),
                Step::Lead(mut flush) => {
                    // Those who have room now that a new group forms.
                    flush.wake();
                    this.group.host.lead(flush);
                }
                Step::WaitUntil { group, deadline } => {
                    if this.timer.poll(deadline, cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.expired = Some(group);
                }
                Step::Wait => return Poll::Pending,
            }
        }
    }
}

impl<H: Host, T, F> Drop for Member<'_, H, T, F> {
    fn drop(&mut self) {
        let Some(id) = self.slot else { return };
        let mut wakes = Wakes::default();
        let mut state = lock(&self.group.state);
        let left = state.leave(id);
        state.settle(&mut wakes);
        // Woken and dropped outside it.
        drop(state);
        wakes.wake();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn room_that_is_given_back_is_free_again() {
        let (one, other) = (
            Room {
                bytes: 5,
                entries: 3,
            },
            Room {
                bytes: 8,
                entries: 2,
            },
        );
        let mut taken = one;
        taken.add(other);
        taken.give_back(one);
        assert_eq!(taken, other);
    }
}
