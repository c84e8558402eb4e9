//! Which writes are durable when, and which may or may not be there.
//!
//! Time is cut into *epochs*: within one, the same writes are durable. It ends when a flush is
//! answered that covers more, or a write that is durable by itself. What arrived and is not durable
//! is *pending*: after a crash each of those writes is there, is not there, or is there in part, and
//! where they overlap, any of them may be the last.
//!
//! ```text
//! index      1  2  3  4  5  6  7  8        w a write, F a flush
//!            w  w  F  w  w  F  w  w
//! epochs     0......  3......  6......
//! pending    1 2      4 5      7 8
//! ```

use std::ops::{Range, RangeInclusive};

use serde::{Deserialize, Serialize};

use super::image::Image;
use super::record::{Entry, Recording};

/// A pending write that reached the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its place in [`Recording::entries`].
    pub entry: usize,
    /// Which of its sectors, counted from its first; all of them if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sectors: Option<Vec<Range<u64>>>,
}

/// What became of the pending writes of an epoch. With its recording, this is an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The index at which the epoch began: everything durable there is on the disk.
    pub epoch: u64,
    /// So are the pending writes in front of this place in [`Recording::entries`], those that failed
    /// aside.
    pub before: usize,
    /// What else is, in the order in which it got there.
    pub kept: Vec<Kept>,
}

/// A stretch of time in which the same writes are durable.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    /// From which index to which.
    pub(super) indices: RangeInclusive<u64>,
    /// What is on the disk for certain.
    pub(super) base: Image,
    /// What may be: places in the recording, in the order of answers.
    pub(super) pending: Vec<usize>,
}

/// The epochs of a recording, in order: every index belongs to one.
pub(super) fn epochs(recording: &Recording) -> Vec<Epoch> {
    let entries = &recording.entries;
    let mut epochs = Vec::new();
    let mut begun = recording.start;
    let mut durable = Durable {
        image: recording.base.clone(),
        entries: 0,
        alone: Vec::new(),
    };
    for (at, entry) in entries.iter().enumerate() {
        let covered = entries[durable.entries..].iter();
        let covered = covered.take_while(|earlier| earlier.answered <= entry.arrived);
        let flushes = !entry.failed && entry.request.is_flush();
        let covers = flushes && covered.clone().any(is_write);
        let by_itself = !entry.failed && entry.request.is_fua();
        if !covers && !by_itself {
            continue;
        }
        epochs.push(durable.epoch(recording, begun..=entry.answered - 1));
        begun = entry.answered;
        if by_itself {
            durable.alone.push(at);
        } else {
            let covered = covered.count();
            durable.cover(&entries[durable.entries..][..covered]);
        }
    }
    epochs.push(durable.epoch(recording, begun..=recording.end.max(begun)));
    epochs
}

fn is_write(entry: &Entry) -> bool {
    !entry.request.is_flush()
}

/// What is durable at some index.
struct Durable {
    /// What flushes have covered.
    image: Image,
    /// So many entries of the recording.
    entries: usize,
    /// Writes that were durable by themselves, by their places in the recording.
    alone: Vec<usize>,
}

impl Durable {
    fn cover(&mut self, entries: &[Entry]) {
        let done = entries.iter().filter(|entry| !entry.failed);
        done.for_each(|entry| entry.request.apply(&mut self.image));
        self.entries += entries.len();
    }

    fn epoch(&self, recording: &Recording, indices: RangeInclusive<u64>) -> Epoch {
        let entries = &recording.entries;
        let alone = self.alone.iter().filter(|at| **at >= self.entries);
        // What is durable by itself is part of the base. What was written to the same place before
        // it can then no longer reach the disk.
        let hidden = |at: usize| {
            let mut later = alone.clone().filter(|later| **later >= at);
            later
                .any(|later| *later == at || entries[at].request.overlaps(&entries[*later].request))
        };
        let pending = (self.entries..entries.len()).filter(|at| {
            let entry = &entries[*at];
            is_write(entry) && entry.arrived < *indices.end() && !hidden(*at)
        });
        let pending = pending.collect();
        let mut base = self.image.clone();
        alone
            .clone()
            .for_each(|at| entries[*at].request.apply(&mut base));
        Epoch {
            indices,
            base,
            pending,
        }
    }
}

impl Epoch {
    /// The disk that an outcome of this epoch leaves.
    pub(super) fn image(&self, recording: &Recording, outcome: &Outcome) -> Image {
        let mut image = self.base.clone();
        let before = self.pending.iter().take_while(|at| **at < outcome.before);
        let before = before.map(|at| &recording.entries[*at]);
        let done = before.filter(|entry| !entry.failed);
        done.for_each(|entry| entry.request.apply(&mut image));
        for kept in &outcome.kept {
            let request = &recording.entries[kept.entry].request;
            match &kept.sectors {
                None => request.apply(&mut image),
                Some(ranges) => request.apply_torn(&mut image, |sector| {
                    ranges.iter().any(|range| range.contains(&sector))
                }),
            }
        }
        image
    }
}
