//! The members' places in line: slots in a slab, linked into lists.

use core::mem;
use core::task::Waker;

use super::host::Host;
use super::terms::{Ask, Refusal, Room};
use super::wakes::Wakes;

/// Index of a slot.
pub(super) type SlotId = u32;
pub(super) const NO_SLOT: SlotId = SlotId::MAX;

/// A list of slots, linked through them. A slot is in one list at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: SlotId,
    pub(super) tail: SlotId,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        head: NO_SLOT,
        tail: NO_SLOT,
    };

    pub(super) fn first(self) -> Option<SlotId> {
        (self.head != NO_SLOT).then_some(self.head)
    }
}

/// Where a member stands.
#[derive(Debug)]
pub(super) enum Stage<E> {
    /// The slot is free; `next` links the free slots.
    Free,
    /// Has not been let in yet.
    New,
    /// Waits in line for room.
    Queued,
    /// Room in the forming group is reserved for it; it joins when it is polled.
    Granted,
    /// Its entries are in the buffer of this group, from this index on.
    Joined { group: u64, index: u32 },
    /// Its outcome waits to be fetched.
    Done(Result<u64, Refusal<E>>),
}

pub(super) struct Slot<H: Host> {
    pub(super) stage: Stage<H::Error>,
    /// Taken when the member is woken, put back when it is polled.
    pub(super) waker: Option<Waker>,
    pub(super) ask: Ask,
    pub(super) room: Room,
    pub(super) home: H::Home,
    pub(super) previous: SlotId,
    pub(super) next: SlotId,
}

/// The members' slots. Its memory is bounded by [`Limits::members`](super::Limits::members).
pub(super) struct Slots<H: Host> {
    all: Vec<Slot<H>>,
    free: SlotId,
    live: usize,
}

impl<H: Host> Slots<H> {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            free: NO_SLOT,
            live: 0,
        }
    }

    /// Members in all stages.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn insert(
        &mut self,
        (ask, room): (Ask, Room),
        home: H::Home,
        waker: Waker,
        members_max: usize,
    ) -> SlotId {
        self.live += 1;
        let (previous, next) = (NO_SLOT, NO_SLOT);
        let slot = Slot {
            stage: Stage::New,
            waker: Some(waker),
            ask,
            room,
            home,
            previous,
            next,
        };
        if self.free == NO_SLOT {
            // Doubles, but not beyond the limit that the log promises.
            if self.all.len() == self.all.capacity() {
                let left = members_max.saturating_sub(self.all.len()).max(1);
                self.all.reserve_exact(self.all.len().max(4).min(left));
            }
            self.all.push(slot);
            SlotId::try_from(self.all.len() - 1).expect("the members are limited")
        } else {
            let id = self.free;
            self.free = self[id].next;
            self[id] = slot;
            id
        }
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<Waker> {
        self.live -= 1;
        let free = mem::replace(&mut self.free, id);
        let slot = &mut self[id];
        slot.stage = Stage::Free;
        slot.next = free;
        slot.waker.take()
    }

    pub(super) fn push_back(&mut self, list: &mut List, id: SlotId) {
        (self[id].previous, self[id].next) = (list.tail, NO_SLOT);
        match list.first() {
            Some(_) => self[list.tail].next = id,
            None => list.head = id,
        }
        list.tail = id;
    }

    pub(super) fn unlink(&mut self, list: &mut List, id: SlotId) {
        let (previous, next) = (self[id].previous, self[id].next);
        if previous == NO_SLOT {
            list.head = next;
        } else {
            self[previous].next = next;
        }
        if next == NO_SLOT {
            list.tail = previous;
        } else {
            self[next].previous = previous;
        }
    }

    /// Gives every member of a list its outcome, by what it asked for and its index in the group.
    pub(super) fn conclude(
        &mut self,
        list: &mut List,
        wakes: &mut Wakes,
        outcome: impl Fn(Ask, u32) -> Result<u64, Refusal<H::Error>>,
    ) {
        let mut id = mem::replace(list, List::EMPTY).head;
        while id != NO_SLOT {
            let slot = &mut self[id];
            let index = if let Stage::Joined { index, .. } = slot.stage {
                index
            } else {
                0
            };
            slot.stage = Stage::Done(outcome(slot.ask, index));
            wakes.add(slot.waker.take());
            id = slot.next;
        }
    }
}

impl<H: Host> core::ops::Index<SlotId> for Slots<H> {
    type Output = Slot<H>;
    fn index(&self, id: SlotId) -> &Slot<H> {
        &self.all[id as usize]
    }
}

impl<H: Host> core::ops::IndexMut<SlotId> for Slots<H> {
    fn index_mut(&mut self, id: SlotId) -> &mut Slot<H> {
        &mut self.all[id as usize]
    }
}
