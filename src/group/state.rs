//! What the write groups know at any moment, and the transitions between. Always behind the lock.

use core::mem;
use core::task::Waker;

use super::host::Host;
use super::slots::{List, NO_SLOT, SlotId, Slots, Stage};
use super::terms::{Ask, Limits, Outcome, Pace, Refusal, Room};
use super::wakes::Wakes;

/// A group of more members is large enough. With 512 writers in a closed loop on two cores, the engines
/// that waited for all to come back made 0.8 million entries a second, the one that waits for nobody
/// 1.1; with 64 it was 265 thousand against 215.
const CROWD: usize = 128;

/// The group that members are joining.
pub(super) struct Forming<H: Host> {
    /// Tells this group from those before and after it.
    pub(super) id: u64,
    pub(super) buffer: H::Buffer,
    pub(super) used: Room,
    pub(super) members: List,
    /// How many have joined, those who left again included.
    pub(super) joined: usize,
    /// A member without entries wants the group to go now.
    pub(super) urgent: bool,
    pub(super) seal: bool,
    /// The highest trim position that its members ask for.
    pub(super) trim: u64,
    pub(super) deadline: Option<H::Deadline>,
    pub(super) expired: bool,
    /// The member that has been told the deadline.
    pub(super) timer_holder: SlotId,
}

impl<H: Host> Forming<H> {
    pub(super) fn new(id: u64, buffer: H::Buffer) -> Self {
        Self {
            id,
            buffer,
            used: Room::default(),
            members: List::EMPTY,
            joined: 0,
            urgent: false,
            seal: false,
            trim: 0,
            deadline: None,
            expired: false,
            timer_holder: NO_SLOT,
        }
    }
}

/// A group that has been taken, to be written.
pub(crate) struct Taken<H: Host> {
    pub(crate) buffer: H::Buffer,
    pub(crate) first_seq: u64,
    pub(crate) entries: u32,
    pub(crate) trim_seq: u64,
    pub(crate) seal: bool,
    /// Members to be woken once the lock is free.
    pub(super) wakes: Wakes,
}

/// The group that is being written.
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) members: List,
}

/// Somebody keeps the next group waiting for company.
pub(super) struct Hold<H: Host> {
    number: u64,
    home: H::Home,
}

pub(super) enum Life<E> {
    Open,
    /// No more entries; what has joined is being written.
    Closing,
    Sealed,
    Poisoned(E),
}

pub(super) struct State<H: Host> {
    pub(super) limits: Limits,
    pub(super) life: Life<H::Error>,
    pub(super) slots: Slots<H>,
    /// Members waiting for room, in order of arrival.
    pub(super) queue: List,
    /// Members with reserved room that have been woken and not been polled since.
    pub(super) granted: List,
    pub(super) reserved: Room,
    pub(super) forming: Forming<H>,
    pub(super) flight: Option<Flight>,
    hold: Option<Hold<H>>,
    holds: u64,
    /// Every entry below it is durable; the first number of the next group.
    pub(super) next_seq: u64,
    /// A durable frame says that every entry below it may be gone.
    pub(super) trim_seq: u64,
    /// The last flush's memory, for the next one.
    pub(super) spare: H::Buffer,
    /// Memory for the next flush's wakes.
    pub(super) wakes_memory: Vec<Waker>,
}

impl<H: Host> State<H> {
    pub(super) fn new(limits: Limits, next_seq: u64, trim_seq: u64) -> Self {
        Self {
            limits,
            life: Life::Open,
            slots: Slots::new(),
            queue: List::EMPTY,
            granted: List::EMPTY,
            reserved: Room::default(),
            forming: Forming::new(0, H::Buffer::default()),
            flight: None,
            hold: None,
            holds: 0,
            next_seq,
            trim_seq,
            spare: H::Buffer::default(),
            wakes_memory: Vec::new(),
        }
    }

    /// Whether the forming group should be taken now.
    pub(super) fn may_go(&self) -> bool {
        self.hold.is_none() && self.is_ready()
    }

    /// The same for somebody at this home, whom a turn that is held elsewhere does not bind.
    pub(super) fn may_go_over(&self, home: impl FnOnce() -> H::Home) -> bool {
        self.is_ready() && self.hold.as_ref().is_none_or(|hold| hold.home != home())
    }

    fn is_ready(&self) -> bool {
        let forming = &self.forming;
        let something = forming.used.entries > 0 || forming.urgent;
        self.flight.is_none() && something && self.is_due()
    }

    /// Whether a moment's wait would make the next group larger: groups go as soon as they can, and
    /// there is company, some of whom have just been woken. A writer that is alone waits for nobody,
    /// and a crowd is written faster than it comes back.
    pub(super) fn is_worth_waiting(&self, woken: usize) -> bool {
        let (pace, entries) = (self.limits.pace, self.limits.entries);
        let others = usize::from(self.forming.members.first().is_some());
        let open = matches!(self.life, Life::Open);
        open && pace == Pace::Eager
            && entries > 1
            && (1..=CROWD).contains(&woken)
            && woken + others > 1
    }

    /// Keeps the next group waiting. Returns the number of this turn.
    pub(super) fn hold(&mut self, home: H::Home) -> u64 {
        self.holds += 1;
        let number = self.holds;
        self.hold = Some(Hold { number, home });
        number
    }

    /// Ends the turn with this number, and tells whether it was still held.
    pub(super) fn release(&mut self, number: u64) -> bool {
        self.hold.take_if(|hold| hold.number == number).is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        // Somebody waits for room, and no reservation is what he waits for: the group itself is full.
        let in_demand = self.queue.first().is_some() && self.granted.first().is_none();
        self.is_due_for_good() || in_demand
    }

    /// Due, and nobody who leaves can change that: no timer is needed any more.
    pub(super) fn is_due_for_good(&self) -> bool {
        let forming = &self.forming;
        let full = forming.used.entries >= self.limits.entries;
        self.limits.pace == Pace::Eager || forming.urgent || forming.expired || full
    }

    pub(super) fn fits(&self, room: Room) -> bool {
        let mut sum = self.forming.used;
        sum.add(self.reserved);
        if sum.entries == 0 {
            return true;
        }
        sum.add(room);
        sum.bytes <= self.limits.bytes && sum.entries <= self.limits.entries
    }

    /// Reserves room for those first in line, as many as fit, and wakes them.
    pub(super) fn grant(&mut self, wakes: &mut Wakes) {
        while let Some(id) = self
            .queue
            .first()
            .filter(|id| self.fits(self.slots[*id].room))
        {
            self.slots.unlink(&mut self.queue, id);
            self.slots.push_back(&mut self.granted, id);
            self.slots[id].stage = Stage::Granted;
            self.reserved.add(self.slots[id].room);
            wakes.add(self.slots[id].waker.take());
        }
    }

    /// Restores the invariant: grants what fits, and wakes whoever is now responsible for the
    /// forming group.
    pub(super) fn settle(&mut self, wakes: &mut Wakes) {
        self.grant(wakes);
        let first = self.forming.members.first();
        let responsible = if self.may_go() {
            first.or(self.queue.first())
        } else {
            first.filter(|id| self.limits.pace == Pace::Timed && self.forming.timer_holder != *id)
        };
        if let Some(id) = responsible {
            wakes.add(self.slots[id].waker.take());
        }
    }

    /// Puts a member into the forming group.
    pub(super) fn join(&mut self, id: SlotId, ask: Ask, encode: impl FnOnce(&mut H::Buffer)) {
        if ask == Ask::Entries {
            encode(&mut self.forming.buffer);
        }
        if matches!(self.slots[id].stage, Stage::Granted) {
            self.slots.unlink(&mut self.granted, id);
            self.reserved.give_back(self.slots[id].room);
        }
        let forming = &mut self.forming;
        self.slots[id].stage = Stage::Joined {
            group: forming.id,
            index: forming.used.entries,
        };
        forming.used.add(self.slots[id].room);
        forming.urgent |= ask != Ask::Entries;
        forming.seal |= ask == Ask::Seal;
        if let Ask::Trim(seq) = ask {
            forming.trim = forming.trim.max(seq);
        }
        forming.joined += 1;
        self.slots.push_back(&mut forming.members, id);
    }

    /// Takes the forming group for a flush; a new one begins to form. The members that get room in it
    /// are among the wakes.
    pub(super) fn take(&mut self) -> Taken<H> {
        self.hold = None;
        let next = Forming::new(self.forming.id + 1, mem::take(&mut self.spare));
        let taken = mem::replace(&mut self.forming, next);
        self.flight = Some(Flight {
            id: taken.id,
            members: taken.members,
        });
        let mut wakes = Wakes::reusing(mem::take(&mut self.wakes_memory));
        self.grant(&mut wakes);
        Taken {
            buffer: taken.buffer,
            first_seq: self.next_seq,
            entries: taken.used.entries,
            trim_seq: self.trim_seq.max(taken.trim),
            seal: taken.seal,
            wakes,
        }
    }

    /// Takes a member's slot out of whatever it is in. Returns its waker, to be dropped outside the
    /// lock.
    pub(super) fn leave(&mut self, id: SlotId) -> Option<Waker> {
        match self.slots[id].stage {
            Stage::Queued => self.slots.unlink(&mut self.queue, id),
            Stage::Granted => {
                self.slots.unlink(&mut self.granted, id);
                self.reserved.give_back(self.slots[id].room);
            }
            Stage::Joined { group, .. } if group == self.forming.id => {
                self.slots.unlink(&mut self.forming.members, id);
                if self.forming.timer_holder == id {
                    self.forming.timer_holder = NO_SLOT;
                }
            }
            Stage::Joined { group, .. } => {
                let flight = self
                    .flight
                    .as_mut()
                    .expect("a joined group is forming or in flight");
                debug_assert_eq!(flight.id, group);
                self.slots.unlink(&mut flight.members, id);
            }
            Stage::Done(_) | Stage::New | Stage::Free => {}
        }
        self.slots.remove(id)
    }

    /// Ends the flight and gives its members their outcome.
    pub(super) fn land(&mut self, taken: &mut Taken<H>, outcome: Outcome<H::Error>) {
        let mut members = self.flight.take().expect("the flush is in flight").members;
        let (slots, wakes) = (&mut self.slots, &mut taken.wakes);
        match outcome {
            Outcome::Durable => {
                self.next_seq = taken.first_seq + u64::from(taken.entries);
                self.trim_seq = taken.trim_seq;
                slots.conclude(&mut members, wakes, |_, i| {
                    Ok(taken.first_seq + u64::from(i))
                });
                // Stopped while the seal was in flight, it stays so.
                if taken.seal && !matches!(self.life, Life::Poisoned(_)) {
                    self.life = Life::Sealed;
                    // Other closers at most have joined meanwhile. What they ask for is done, and
                    // a frame of theirs behind the seal would leave the log unsealed.
                    debug_assert_eq!(self.forming.used.entries, 0);
                    self.dissolve(wakes, &Ok(self.next_seq));
                }
            }
            Outcome::NotWritten(error) => {
                slots.conclude(&mut members, wakes, |_, _| {
                    Err(Refusal::NotWritten(error.clone()))
                });
            }
            Outcome::OnlyTrim(error) => {
                self.trim_seq = taken.trim_seq;
                slots.conclude(&mut members, wakes, |ask, _| match ask {
                    Ask::Trim(_) => Ok(taken.first_seq),
                    Ask::Entries | Ask::Barrier | Ask::Seal => {
                        Err(Refusal::NotWritten(error.clone()))
                    }
                });
            }
            Outcome::Stopped(error) => {
                slots.conclude(&mut members, wakes, |_, _| {
                    Err(Refusal::Poisoned(error.clone()))
                });
                self.poison(error, wakes);
            }
            Outcome::Unknown(error) => {
                slots.conclude(&mut members, wakes, |_, _| {
                    Err(Refusal::OutcomeUnknown(error.clone()))
                });
                self.poison(error, wakes);
            }
        }
    }

    /// Takes nothing more; members that are not in flight learn that nothing of theirs was written.
    pub(super) fn poison(&mut self, error: H::Error, wakes: &mut Wakes) {
        if matches!(self.life, Life::Poisoned(_)) {
            return;
        }
        self.life = Life::Poisoned(error.clone());
        let refusal = Refusal::NotWritten(error);
        self.turn_away(&refusal, wakes);
        self.dissolve(wakes, &Err(refusal));
    }

    /// Gives the members of the forming group their outcome without writing it; a new one begins to
    /// form.
    fn dissolve(&mut self, wakes: &mut Wakes, outcome: &Result<u64, Refusal<H::Error>>) {
        let next = Forming::new(self.forming.id + 1, H::Buffer::default());
        let mut forming = mem::replace(&mut self.forming, next);
        self.slots
            .conclude(&mut forming.members, wakes, |_, _| outcome.clone());
    }

    /// Refuses everybody who waits for room.
    pub(super) fn turn_away(&mut self, refusal: &Refusal<H::Error>, wakes: &mut Wakes) {
        self.slots
            .conclude(&mut self.queue, wakes, |_, _| Err(refusal.clone()));
        self.slots
            .conclude(&mut self.granted, wakes, |_, _| Err(refusal.clone()));
        self.reserved = Room::default();
    }

    /// Why a new member with this ask gets nothing, or what it gets at once.
    pub(super) fn turn_in(&self, ask: Ask) -> Option<Result<u64, Refusal<H::Error>>> {
        let closing = matches!(ask, Ask::Barrier | Ask::Seal);
        match &self.life {
            Life::Poisoned(error) => Some(Err(Refusal::Poisoned(error.clone()))),
            Life::Sealed if closing => Some(Ok(self.next_seq)),
            Life::Closing if closing => None,
            Life::Sealed | Life::Closing => Some(Err(Refusal::Closed)),
            Life::Open if self.slots.live() >= self.limits.members && !closing => {
                Some(Err(Refusal::Overloaded))
            }
            Life::Open => None,
        }
    }
}
