//! What members ask for, what bounds a group, and how it ends.

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
    pub(super) fn add(&mut self, other: Room) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }

    pub(super) fn give_back(&mut self, other: Room) {
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
    /// Its flush failed, and it is unknown what the disk holds.
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
    /// It is unknown what the disk holds: the log is poisoned.
    Unknown(E),
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
