//! The memory that a writer and the harness share.
//!
//! An event takes two atomic steps: reserve a slot, then publish it with one store. A writer killed in
//! between leaves a reserved slot without an event, which readers skip: an acknowledgement that was not
//! published was not heard.
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
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::event::Event;
use crate::disk::Clock;
use crate::memory_file::memory_file;

const SLOT_WORDS: usize = 4;
const HEADER_WORDS: usize = 4;

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
        let file = memory_file("plugpull-history")?;
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

    pub(super) fn events_max(&self) -> usize {
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
        let published = slots.enumerate().filter(|(index, _)| mark.has(*index));
        published.filter_map(|(_, slot)| read_slot(slot)).collect()
    }

    /// The events that had been published at one mark, and the beginnings at a later one: see
    /// [`Event::is_beginning`].
    pub(crate) fn events_during(&self, claims: &Mark, beginnings: &Mark) -> Vec<Event> {
        let slots = self.words()[HEADER_WORDS..]
            .chunks_exact(SLOT_WORDS)
            .take(beginnings.reserved);
        let published = slots
            .enumerate()
            .filter(|(index, _)| beginnings.has(*index))
            .filter_map(|(index, slot)| Some((index, read_slot(slot)?)));
        let counts = published.filter(|(index, event)| claims.has(*index) || event.is_beginning());
        counts.map(|(_, event)| event).collect()
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

/// The clock is raised before what it counts can be seen.
impl Clock for History {
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
    /// Whether a slot had been published.
    fn has(&self, index: usize) -> bool {
        index < self.reserved && !self.unpublished.contains(&index)
    }

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
            Event::Together { id: 13, after: 12 },
            Event::Durable { below: 14 },
            Event::Closed,
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
