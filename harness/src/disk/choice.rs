//! Which of the pending writes to lose.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::epoch::Epoch;
use super::file_system::FileSystem;
use super::image::{PAGE_BYTES, SECTOR_BYTES};
use super::record::{Recording, Request};
use crate::workload::stream;

/// How much to look at. The numbers are per epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Everything random derives from it.
    pub seed: u64,
    /// All subsets are enumerated if no more writes than this are pending, at most 16.
    pub exhaustive_max: usize,
    /// So many subsets otherwise: without one write, with only one, and random ones.
    pub subsets: usize,
    /// So many states with a write torn by sector.
    pub torn: usize,
    /// So many states in which overlapping writes took another order, if any overlap.
    pub reordered: usize,
    /// What the disk writes whole or not at all, in bytes: a power of two, 512 or more.
    pub sector_bytes: u64,
    /// Pages that are never torn. See [`FileSystem::untorn_pages`].
    #[serde(default)]
    pub untorn_pages: Vec<u64>,
}

impl Sampling {
    /// A moderate amount of everything.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            exhaustive_max: 5,
            subsets: 32,
            torn: 8,
            reordered: 4,
            sector_bytes: SECTOR_BYTES as u64,
            untorn_pages: Vec::new(),
        }
    }

    /// Spares what a file system cannot bear to be torn.
    #[must_use]
    pub fn on(mut self, file_system: &FileSystem) -> Self {
        self.untorn_pages = file_system.untorn_pages();
        self
    }

    /// Prefixes alone.
    pub fn prefixes() -> Self {
        Self {
            seed: 0,
            exhaustive_max: 0,
            subsets: 0,
            torn: 0,
            reordered: 0,
            sector_bytes: SECTOR_BYTES as u64,
            untorn_pages: Vec::new(),
        }
    }
}

/// Which of an epoch's pending writes reach the disk, by their places among them.
pub(super) struct Choice {
    /// So many, in order.
    pub(super) prefix: usize,
    /// And these, in this order.
    pub(super) kept: Vec<usize>,
    /// One of which only these sectors do.
    pub(super) torn: Option<(usize, Vec<Range<u64>>)>,
}

impl Choice {
    /// These, whole.
    fn whole(prefix: usize, kept: Vec<usize>) -> Self {
        Self {
            prefix,
            kept,
            torn: None,
        }
    }
}

/// Chooses what to look at in an epoch, besides prefixes.
pub(super) struct Chooser<'a> {
    requests: Vec<&'a Request>,
    sampling: &'a Sampling,
    rng: ChaCha8Rng,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(recording: &'a Recording, epoch: &Epoch, sampling: &'a Sampling) -> Self {
        let pending = epoch.pending.iter();
        Self {
            requests: pending.map(|at| &recording.entries[*at].request).collect(),
            sampling,
            rng: stream(sampling.seed, *epoch.indices.start()),
        }
    }

    /// All subsets, or some; torn writes; overlapping ones in another order.
    pub(super) fn others(mut self, all: bool) -> Vec<Choice> {
        let mut subsets = if all { self.all() } else { self.some() }.into_iter();
        let mut torn = self.torn().into_iter();
        let mut reordered = self.reordered().into_iter();
        let mut others = Vec::new();
        loop {
            let next = [subsets.next(), torn.next(), reordered.next()];
            if next.iter().all(Option::is_none) {
                return others;
            }
            others.extend(next.into_iter().flatten());
        }
    }

    fn all(&self) -> Vec<Choice> {
        let count = self.requests.len();
        let subsets = (0_u32..1 << count).rev().map(|chosen| {
            let kept = (0..count).filter(|at| chosen >> at & 1 == 1);
            Choice::whole(0, kept.collect())
        });
        subsets.collect()
    }

    fn some(&mut self) -> Vec<Choice> {
        let count = self.requests.len();
        let third = self.sampling.subsets.div_ceil(3);
        let mut chosen = Vec::new();
        for left_out in (0..count).rev().take(third) {
            let later = (left_out + 1..count).collect();
            chosen.push(Choice::whole(left_out, later));
            chosen.push(Choice::whole(0, vec![left_out]));
        }
        while chosen.len() < self.sampling.subsets {
            chosen.push(Choice::whole(0, self.subset(count)));
        }
        chosen.truncate(self.sampling.subsets);
        chosen
    }

    /// Each of the first few with one probability, drawn as well.
    fn subset(&mut self, count: usize) -> Vec<usize> {
        let until = self.rng.random_range(0..=count);
        let share = [0.1, 0.5, 0.9][self.rng.random_range(0..3)];
        (0..until).filter(|_| self.rng.random_bool(share)).collect()
    }

    fn torn(&mut self) -> Vec<Choice> {
        let count = self.requests.len();
        let large = (0..count).filter(|at| self.sectors(*at).len() > 1);
        let large: Vec<usize> = large.collect();
        if large.is_empty() {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for _ in 0..self.sampling.torn {
            let torn = large[self.rng.random_range(0..large.len())];
            let (prefix, mut kept) = match self.rng.random_range(0..3) {
                0 => (torn, vec![torn]),
                1 => (torn, (torn..count).collect()),
                _ => (0, self.subset(count)),
            };
            if let Err(place) = kept.binary_search(&torn) {
                kept.insert(place, torn);
            }
            let sectors = self.some_sectors(torn);
            chosen.push(Choice {
                prefix,
                kept,
                torn: Some((torn, sectors)),
            });
        }
        chosen
    }

    /// The disk's sectors that a request writes, each as a range of sectors of 512 bytes.
    fn sectors(&self, at: usize) -> Vec<Range<u64>> {
        let request = self.requests[at];
        let first = request
            .range()
            .map_or(0, |(offset, _)| offset / SECTOR_BYTES as u64);
        let page = (PAGE_BYTES / SECTOR_BYTES) as u64;
        let usual = (self.sampling.sector_bytes / SECTOR_BYTES as u64).max(1);
        let mut sectors = Vec::new();
        let mut from = 0;
        while from < request.sectors() {
            let at = first + from;
            let untorn = self.sampling.untorn_pages.contains(&(at / page));
            let each = if untorn { page.max(usual) } else { usual };
            let to = ((at / each + 1) * each - first).min(request.sectors());
            sectors.push(from..to);
            from = to;
        }
        sectors
    }

    /// Some of a request's sectors, not all: the first, the last, or any.
    fn some_sectors(&mut self, at: usize) -> Vec<Range<u64>> {
        let mut sectors = self.sectors(at);
        let cut = self.rng.random_range(1..sectors.len());
        match self.rng.random_range(0..3) {
            0 => sectors.truncate(cut),
            1 => drop(sectors.drain(..cut)),
            _ => {
                let left_out = self.rng.random_range(0..sectors.len());
                sectors.remove(left_out);
                sectors.retain(|_| self.rng.random_bool(0.5));
            }
        }
        sectors
    }

    fn reordered(&mut self) -> Vec<Choice> {
        let count = self.requests.len();
        let mut pairs = Vec::new();
        for later in 1..count {
            let overlaps = |at: &usize| self.requests[*at].overlaps(self.requests[later]);
            pairs.extend((0..later).filter(overlaps).map(|earlier| (earlier, later)));
        }
        if pairs.is_empty() {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for _ in 0..self.sampling.reordered {
            let (earlier, later) = pairs[self.rng.random_range(0..pairs.len())];
            // The earlier one reaches the disk right after the later one.
            let mut kept: Vec<usize> = (earlier + 1..=later).collect();
            kept.push(earlier);
            if self.rng.random_bool(0.5) {
                kept.extend(later + 1..count);
            }
            chosen.push(Choice::whole(earlier, kept));
        }
        chosen
    }
}
