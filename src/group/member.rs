//! A member's future, and who leads its group.

use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::flush::Flush;
use super::host::{Host, Timer};
use super::shared::Group;
use super::slots::{SlotId, Stage};
use super::state::State;
use super::terms::{Ask, Refusal, Room};
use super::wakes::Wakes;
use crate::sync::{Arc, lock};

/// A host that brings flushes to their end.
pub(crate) trait Lead: Host {
    /// Starts a flush. Called outside the lock, in the poll of some member. May run it to its end.
    fn lead(&self, flush: Flush<Self>);
}

/// A member's future: an append, a trim or a step of closing. Resolves to the sequence number of
/// its first entry.
///
/// Cancel safety: it may be dropped at any time. If it had joined a group, its entries may or may
/// not end up in the log; no other entry is lost, delayed or failed.
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
                // A member without entries needs no room. The others may not overtake those in
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
            return Step::Lead(Flush::new(Arc::clone(self.group), state.take(), home));
        }
        // Also while a member waits for room: it may be dropped, and then the timer is needed.
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
    H: Lead,
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
