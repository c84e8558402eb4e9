//! What happened, as far as anybody can know: events in memory that outlives a SIGKILL.
//!
//! The harness makes a memfd; the writer process maps it and records. An event takes two atomic
//! steps: reserve a slot, then publish it with one store. A writer killed in between leaves a
//! reserved slot without an event, which readers skip: an acknowledgement nobody published was not
//! heard by anybody.
//!
//! ```text
//! word   0  next free slot      1  clock      2  unused .. 3
//! slot   4 words each: kind (0 = not published) | id | value | what the clock said
//! ```
//!
//! Slots are reserved in real-time order: an ack in a slot before an attempt's slot was returned
//! before that attempt began.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

const SLOT_WORDS: usize = 4;
const HEADER_WORDS: usize = 4;

/// Something that a writer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An append, or a put into a key-value store, is about to begin. Without an end it is
    /// *indeterminate*: it may or may not survive.
    Attempt {
        /// Names the attempt.
        id: u64,
        /// The key, in a key-value store; 0 in a log.
        key: u64,
    },
    /// A delete from a key-value store is about to begin.
    AttemptDelete {
        /// Names the attempt.
        id: u64,
        /// The key.
        key: u64,
    },
    /// The store said that the entry is durable.
    Ack {
        /// The attempt.
        id: u64,
        /// Where the store says it is; the key, in a key-value store.
        position: u64,
    },
    /// The store refused the entry: it must never appear.
    Refused {
        /// The attempt.
        id: u64,
    },
    /// The store failed, the outcome is unknown: the entry may or may not survive.
    Failed {
        /// The attempt.
        id: u64,
    },
    /// Entries below the position may be gone from now on.
    TrimBegin {
        /// The first position that must survive.
        below: u64,
    },
    /// The store said that the trim is done.
    TrimEnd {
        /// The first position that must survive.
        below: u64,
    },
    /// A reader of the running store was shown the entry: nobody may lose it any more.
    Shown {
        /// The attempt.
        id: u64,
        /// Where it was.
        position: u64,
    },
}

/// Stands for the position of an acknowledgement that gave none. Known in this file only: what is
/// saved of a run has had it from the beginning.
const NO_POSITION: u64 = u64::MAX;

impl Event {
    /// An acknowledgement, by a writer that need not know where an entry is.
    pub(crate) fn acked(id: u64, position: Option<u64>) -> Self {
        Self::Ack {
            id,
            position: position.unwrap_or(NO_POSITION),
        }
    }

    /// Of an acknowledgement: the entry, and where the store said that it is, if it said so.
    pub(crate) fn ack(self) -> Option<(u64, Option<u64>)> {
        match self {
            Self::Ack { id, position } => Some((id, (position != NO_POSITION).then_some(position))),
            _ => None,
        }
    }

    fn encode(self) -> [u64; 3] {
        match self {
            Self::Attempt { id, key } => [1, id, key],
            Self::Ack { id, position } => [2, id, position],
            Self::Refused { id } => [3, id, 0],
            Self::Failed { id } => [4, id, 0],
            Self::TrimBegin { below } => [5, 0, below],
            Self::TrimEnd { below } => [6, 0, below],
            Self::Shown { id, position } => [7, id, position],
            Self::AttemptDelete { id, key } => [8, id, key],
        }
    }

    fn decode([kind, id, value]: [u64; 3]) -> Option<Self> {
        Some(match kind {
            1 => Self::Attempt { id, key: value },
            2 => Self::Ack {
                id,
                position: value,
            },
            3 => Self::Refused { id },
            4 => Self::Failed { id },
            5 => Self::TrimBegin { below: value },
            6 => Self::TrimEnd { below: value },
            7 => Self::Shown {
                id,
                position: value,
            },
            8 => Self::AttemptDelete { id, key: value },
            _ => return None,
        })
    }
}

/// The shared memory of one generation.
#[derive(Clone, Debug)]
pub struct History {
    map: Arc<MmapRaw>,
    /// Keeps the memfd open in the process that made it.
    file: Arc<File>,
}

impl History {
    /// Memory for so many events. Only what is used costs anything.
    ///
    /// # Errors
    /// If the kernel gives no memfd.
    pub fn create(events_max: usize) -> io::Result<Self> {
        let fd: OwnedFd = memfd_create(c"plugpull-history", MFdFlags::MFD_CLOEXEC)?;
        let file = File::from(fd);
        file.set_len(((HEADER_WORDS + events_max * SLOT_WORDS) * 8) as u64)?;
        Self::map(file)
    }

    /// Maps the memory that another process made.
    ///
    /// # Errors
    /// If the path cannot be opened or mapped, or is no history.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::map(File::options().read(true).write(true).open(path)?)
    }

    fn map(file: File) -> io::Result<Self> {
        let map = MmapOptions::new().map_raw(&file)?;
        if map.len() < HEADER_WORDS * 8 || map.len() % 8 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is no history",
            ));
        }
        Ok(Self {
            map: Arc::new(map),
            file: Arc::new(file),
        })
    }

    /// A path by which a child of this process can open the memory.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    #[expect(unsafe_code, reason = "memory shared with another process")]
    #[expect(clippy::cast_ptr_alignment, reason = "a map begins on a page")]
    fn words(&self) -> &[AtomicU64] {
        let words = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the map is page-aligned, `len` bytes long, readable and writable, and lives as
        // long as `self`. The file behind it is never shortened. All processes access it
        // through atomics only.
        unsafe { std::slice::from_raw_parts(words, self.map.len() / 8) }
    }

    fn events_max(&self) -> usize {
        (self.words().len() - HEADER_WORDS) / SLOT_WORDS
    }

    /// How many slots have been reserved.
    pub fn reserved(&self) -> u64 {
        self.words()[0].load(Ordering::Relaxed)
    }

    /// Nothing more can be recorded.
    pub(crate) fn is_full(&self) -> bool {
        usize::try_from(self.reserved()).is_ok_and(|reserved| reserved >= self.events_max())
    }

    /// Records an event; `false` if the memory is full and it was not recorded.
    #[must_use]
    pub fn record(&self, event: Event) -> bool {
        let slot = self.reserve();
        slot.map(|slot| self.publish(&slot, event)).is_some()
    }

    /// The first step of recording; `None` if the memory is full.
    pub(crate) fn reserve(&self) -> Option<Slot> {
        let words = self.words();
        // Whatever the clock counts had come so far when the event was announced, or before.
        let clock = words[1].load(Ordering::SeqCst);
        // SeqCst: the order of slots is the order in real time, across all events of all threads.
        let index = words[0].fetch_add(1, Ordering::SeqCst);
        let index = usize::try_from(index).ok()?;
        (index < self.events_max()).then_some(Slot { index, clock })
    }

    /// The second step of recording.
    pub(crate) fn publish(&self, slot: &Slot, event: Event) {
        let words = self.words();
        let at = HEADER_WORDS + slot.index * SLOT_WORDS;
        let [kind, id, value] = event.encode();
        words[at + 1].store(id, Ordering::Relaxed);
        words[at + 2].store(value, Ordering::Relaxed);
        words[at + 3].store(slot.clock, Ordering::Relaxed);
        words[at].store(kind, Ordering::Release);
    }

    /// How far the history had got at this moment.
    pub(crate) fn mark(&self) -> Mark {
        self.mark_after(&Mark::default())
    }

    /// As [`mark`](Self::mark), for a moment after an earlier mark of the same history: the slots that
    /// were published by then are not looked at again.
    pub(crate) fn mark_after(&self, earlier: &Mark) -> Mark {
        let words = self.words();
        let reserved = usize::try_from(words[0].load(Ordering::SeqCst)).unwrap_or(usize::MAX);
        let slots = words[HEADER_WORDS..]
            .chunks_exact(SLOT_WORDS)
            .take(reserved)
            .enumerate()
            .skip(earlier.settled());
        let unpublished = slots
            .filter(|(_, slot)| slot[0].load(Ordering::Acquire) == 0)
            .map(|(index, _)| index)
            .collect();
        Mark {
            reserved,
            unpublished,
        }
    }

    /// The events that had been published at a mark.
    pub(crate) fn events_at(&self, mark: &Mark) -> Vec<Event> {
        let slots = self.words()[HEADER_WORDS..]
            .chunks_exact(SLOT_WORDS)
            .take(mark.reserved);
        let published = slots
            .enumerate()
            .filter(|(index, _)| !mark.unpublished.contains(index));
        published.filter_map(|(_, slot)| read_slot(slot)).collect()
    }

    /// The published events, in real-time order, each with what the clock said when it was announced.
    pub(crate) fn events_with_clock(&self) -> Vec<(u64, Event)> {
        let reserved = usize::try_from(self.reserved()).unwrap_or(usize::MAX);
        let slots = self.words()[HEADER_WORDS..]
            .chunks_exact(SLOT_WORDS)
            .take(reserved);
        let read = |slot: &[AtomicU64]| {
            let event = read_slot(slot)?;
            Some((slot[3].load(Ordering::Relaxed), event))
        };
        slots.filter_map(read).collect()
    }

    /// The published events, in real-time order.
    pub fn events(&self) -> Vec<Event> {
        self.events_at(&self.mark())
    }
}

/// Whoever raises the clock does so before others can see what it counts.
impl crate::disk::Clock for History {
    fn counter(&self) -> &AtomicU64 {
        &self.words()[1]
    }
}

fn read_slot(slot: &[AtomicU64]) -> Option<Event> {
    let kind = slot[0].load(Ordering::Acquire);
    let [id, value] = [1, 2].map(|word: usize| slot[word].load(Ordering::Relaxed));
    Event::decode([kind, id, value])
}

/// A moment in a history: the slots reserved by then, but for those not yet published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    reserved: usize,
    /// In ascending order.
    unpublished: Vec<usize>,
}

impl Mark {
    /// Every slot before this one was published.
    fn settled(&self) -> usize {
        self.unpublished.first().copied().unwrap_or(self.reserved)
    }
}

/// A slot that was reserved for an event.
#[derive(Debug)]
pub(crate) struct Slot {
    index: usize,
    /// What the clock said.
    clock: u64,
}

/// A writer's hand on the history. Cheap to clone, usable from any thread.
///
/// When the history is full there is nothing more to be learnt from this generation: the calling
/// thread waits to be killed.
#[derive(Clone, Debug)]
pub struct Recorder {
    history: History,
    /// The writer runs in this process, and nobody is going to kill it.
    in_process: bool,
}

impl Recorder {
    /// A hand on this history. A subject is given one with its [`WriteRun`](crate::WriteRun).
    pub fn new(history: History) -> Self {
        Self {
            history,
            in_process: false,
        }
    }

    pub(crate) fn in_process(history: History) -> Self {
        Self {
            history,
            in_process: true,
        }
    }

    fn record(&self, event: Event) {
        while !self.history.record(event) {
            assert!(
                !self.in_process,
                "more is announced than {} events, which is more than a workload gives rise to",
                self.history.events_max()
            );
            std::thread::park();
        }
    }

    /// Call it before an append begins.
    pub fn attempt(&self, id: u64) {
        self.record(Event::Attempt { id, key: 0 });
    }

    /// Call it before a put into a key-value store begins.
    pub fn attempt_put(&self, id: u64, key: u64) {
        self.record(Event::Attempt { id, key });
    }

    /// Call it before a delete from a key-value store begins.
    pub fn attempt_delete(&self, id: u64, key: u64) {
        self.record(Event::AttemptDelete { id, key });
    }

    /// Call it after the store has said that the entry is durable, with its position, or its key.
    pub fn ack(&self, id: u64, position: u64) {
        self.record(Event::Ack { id, position });
    }

    /// Call it after the store has said that the entry is certainly not in it.
    pub fn refused(&self, id: u64) {
        self.record(Event::Refused { id });
    }

    /// Call it after the store has failed without saying what became of the entry.
    pub fn failed(&self, id: u64) {
        self.record(Event::Failed { id });
    }

    /// Call it before entries below a position may go.
    pub fn trim_begin(&self, below: u64) {
        self.record(Event::TrimBegin { below });
    }

    /// Call it after the store has said that they are gone.
    pub fn trim_end(&self, below: u64) {
        self.record(Event::TrimEnd { below });
    }

    /// Call it when a reader of the running store has been shown an entry.
    pub fn shown(&self, id: u64, position: u64) {
        self.record(Event::Shown { id, position });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_was_recorded() {
        let events = [
            Event::Attempt { id: 1, key: 2 },
            Event::AttemptDelete { id: 3, key: 4 },
            Event::Ack { id: 5, position: 6 },
            Event::Refused { id: 7 },
            Event::Failed { id: 8 },
            Event::TrimBegin { below: 9 },
            Event::TrimEnd { below: 10 },
            Event::Shown {
                id: 11,
                position: u64::MAX,
            },
        ];
        let history = History::create(events.len()).expect("memory");
        let other = History::open(history.path().as_ref()).expect("the same memory");
        assert!(events.iter().all(|event| history.record(*event)));
        assert_eq!(other.events(), events);
        assert!(!history.record(events[0]), "the memory is full");
        assert_eq!(other.events(), events);
    }

    #[test]
    fn a_slot_that_was_reserved_and_not_published_is_skipped() {
        let history = History::create(3).expect("memory");
        assert!(history.record(Event::Refused { id: 1 }));
        // A writer killed between the two steps of recording.
        history.reserve().expect("room for three");
        assert!(history.record(Event::Refused { id: 2 }));
        assert_eq!(
            history.events(),
            [Event::Refused { id: 1 }, Event::Refused { id: 2 }]
        );
    }

    #[test]
    fn a_mark_after_another_is_that_of_a_scan_from_the_beginning() {
        let history = History::create(8).expect("memory");
        let mut last = Mark::default();
        let mut reserved = Vec::new();
        for id in 0..4 {
            reserved.push(history.reserve().expect("room"));
            assert!(history.record(Event::Refused { id }));
            last = history.mark_after(&last);
            assert_eq!(last, history.mark());
        }
        for index in [2, 0, 3, 1] {
            history.publish(&reserved[index], Event::Failed { id: index as u64 });
            last = history.mark_after(&last);
            assert_eq!(last, history.mark());
        }
        assert_eq!(history.events_at(&last).len(), 8);
    }
}
