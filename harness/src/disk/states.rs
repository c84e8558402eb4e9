//! What a loss of power can leave of a recording.
//!
//! An image that a crash leaves at one index is one that it can leave later, as long as no more is
//! durable: see [`epochs`]. So every image comes with all the indices at which a crash may leave it,
//! and one look at it settles what was promised at each. The last is the hardest to satisfy for a
//! promise that only grows; a checker that looks at one index should look there.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::choice::{Choice, Chooser, Sampling};
use super::epoch::{Epoch, Kept, Outcome, epochs};
use super::image::Image;
use super::record::Recording;

/// An image that a crash can leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashState {
    /// How it comes about.
    pub outcome: Outcome,
    /// Tells its image from others.
    pub fingerprint: u64,
    /// When: a crash at any of these indices can leave this image.
    pub indices: Vec<RangeInclusive<u64>>,
    /// How it comes about at each of those ranges.
    outcomes: Vec<Outcome>,
}

impl CrashState {
    /// The last index at which a crash can leave this image, as far as was looked.
    pub fn index(&self) -> u64 {
        let last = self.indices.iter().map(|range| *range.end()).max();
        last.expect("a state comes about at some index")
    }

    /// How it comes about in a crash at this index, as far as was looked.
    pub fn outcome_at(&self, index: u64) -> Option<&Outcome> {
        let at = self.indices.iter().position(|range| range.contains(&index));
        at.map(|at| &self.outcomes[at])
    }

    /// Whether a crash at this index can leave this image, as far as was looked.
    pub fn is_possible_at(&self, index: u64) -> bool {
        self.indices.iter().any(|range| range.contains(&index))
    }
}

/// All that a crash can leave, as far as was asked for.
#[derive(Debug)]
pub struct Crashes<'a> {
    recording: &'a Recording,
    epochs: Vec<Epoch>,
    states: Vec<CrashState>,
    enumerated: bool,
}

impl<'a> Crashes<'a> {
    /// The states that crashes at every index leave: alternately a prefix and another state, those
    /// near flushes first. No content appears twice.
    pub fn new(recording: &'a Recording, sampling: &Sampling) -> Self {
        Self::of(recording, epochs(recording), sampling)
    }

    /// The states that a crash at one index leaves.
    pub fn at(recording: &'a Recording, index: u64, sampling: &Sampling) -> Self {
        let found = epochs(recording)
            .into_iter()
            .find(|epoch| epoch.indices.contains(&index));
        let found = found.map(|mut epoch| {
            epoch.indices = index..=index;
            let arrived = |at: &usize| recording.entries[*at].arrived < index;
            epoch.pending.retain(arrived);
            epoch
        });
        Self::of(recording, found.into_iter().collect(), sampling)
    }

    fn of(recording: &'a Recording, epochs: Vec<Epoch>, sampling: &Sampling) -> Self {
        let mut crashes = Self {
            recording,
            epochs,
            states: Vec::new(),
            enumerated: true,
        };
        let mut by_fingerprint = HashMap::new();
        let mut planned = Vec::new();
        for epoch in &crashes.epochs {
            let all = epoch.pending.len() <= sampling.exhaustive_max.min(16);
            crashes.enumerated &= all;
            let others = Chooser::new(recording, epoch, sampling).others(all);
            let others = others
                .into_iter()
                .map(|choice| state(recording, epoch, choice));
            planned.push((prefixes(recording, epoch).into_iter(), others));
        }
        let mut states = Vec::new();
        loop {
            let mut more = false;
            for (prefixes, others) in &mut planned {
                for state in [prefixes.next(), others.next()].into_iter().flatten() {
                    more = true;
                    let known = by_fingerprint.entry(state.fingerprint);
                    let at = *known.or_insert(states.len());
                    if at == states.len() {
                        states.push(state);
                    } else {
                        add_ranges(&mut states[at], state);
                    }
                }
            }
            if !more {
                break;
            }
        }
        drop(planned);
        crashes.states = states;
        crashes
    }

    /// The states, those worth looking at first in front.
    pub fn states(&self) -> &[CrashState] {
        &self.states
    }

    /// Whether every subset of the pending writes of every epoch is among them. Torn and reordered
    /// writes are samples always.
    pub fn has_all_subsets(&self) -> bool {
        self.enumerated
    }

    /// The indices at which an outcome's epoch begins and ends, and the writes that are pending in
    /// it, by their places in [`Recording::entries`]; nothing if there is no such epoch.
    pub(crate) fn epoch_of(&self, outcome: &Outcome) -> Option<(&RangeInclusive<u64>, &[usize])> {
        let mut epochs = self.epochs.iter();
        let epoch = epochs.find(|epoch| epoch.indices.contains(&outcome.epoch))?;
        Some((&epoch.indices, &epoch.pending))
    }

    /// The indices at which epochs begin.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = u64> {
        self.epochs.iter().map(|epoch| *epoch.indices.start())
    }

    /// The disk that an outcome leaves; nothing if the outcome belongs to another recording.
    pub fn image(&self, outcome: &Outcome) -> Option<Image> {
        let mut epochs = self.epochs.iter();
        let epoch = epochs.find(|epoch| epoch.indices.contains(&outcome.epoch));
        let known = outcome
            .kept
            .iter()
            .all(|kept| kept.entry < self.recording.entries.len());
        epoch
            .filter(|_| known)
            .map(|epoch| epoch.image(self.recording, outcome))
    }
}

/// The prefixes of an epoch's pending writes, those near its ends first.
fn prefixes(recording: &Recording, epoch: &Epoch) -> Vec<CrashState> {
    let mut image = epoch.base.clone();
    let mut first = *epoch.indices.start();
    let mut states = Vec::new();
    let mut add = |image: &Image, first, before| {
        let outcome = Outcome {
            epoch: *epoch.indices.start(),
            before,
            kept: Vec::new(),
        };
        states.push(CrashState {
            fingerprint: image.fingerprint(),
            indices: vec![first..=*epoch.indices.end()],
            outcomes: vec![outcome.clone()],
            outcome,
        });
    };
    add(&image, first, 0);
    for at in &epoch.pending {
        let entry = &recording.entries[*at];
        // What failed is in no prefix, but it may be there.
        if !entry.failed {
            entry.request.apply(&mut image);
            first = first.max(entry.arrived + 1);
            add(&image, first, at + 1);
        }
    }
    let order = outwards(states.len() - 1);
    order.map(|at| states[at].clone()).collect()
}

fn state(recording: &Recording, epoch: &Epoch, choice: Choice) -> CrashState {
    let torn = choice.torn;
    let kept = choice.kept.into_iter().map(|at| Kept {
        entry: epoch.pending[at],
        sectors: torn
            .iter()
            .find(|torn| torn.0 == at)
            .map(|torn| torn.1.clone()),
    });
    let kept: Vec<Kept> = kept.collect();
    let prefix = epoch.pending[..choice.prefix].iter().copied();
    let there = prefix.clone().chain(kept.iter().map(|kept| kept.entry));
    let first = there.map(|at| recording.entries[at].arrived + 1).max();
    let outcome = Outcome {
        epoch: *epoch.indices.start(),
        before: prefix.last().map_or(0, |at| at + 1),
        kept,
    };
    CrashState {
        fingerprint: epoch.image(recording, &outcome).fingerprint(),
        indices: vec![first.unwrap_or(0).max(*epoch.indices.start())..=*epoch.indices.end()],
        outcomes: vec![outcome.clone()],
        outcome,
    }
}

fn add_ranges(state: &mut CrashState, other: CrashState) {
    for (range, outcome) in other.indices.into_iter().zip(other.outcomes) {
        if !state.indices.contains(&range) {
            state.indices.push(range);
            state.outcomes.push(outcome);
        }
    }
}

/// `len, 0, len - 1, 1, ..`: from both ends inwards.
fn outwards(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).map(move |step| {
        if step % 2 == 0 {
            len - step / 2
        } else {
            step / 2
        }
    })
}
