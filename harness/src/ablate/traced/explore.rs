//! Crash states of a recorded run that exist only without one of its syncs.
//!
//! A state is a disk and what had been announced. It exists only without a sync if, with every sync in place,
//! a power cut leaves that disk at no moment with the same claims. Whether it can is decided by
//! what is durable then, not by the states that were drawn: see [`Disk::can_leave`].

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::ControlFlow;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::chain::{Chain, Moments};
use crate::history::Event;
use crate::recorder::{Followed, Recording};
use crate::sim::{Chooser, Disk, Focus, Narrator, Noted, Odometer, Possible};

/// The largest number of outcomes of a moment of which every one is looked at.
const EXHAUSTIVE: usize = 16;
/// The number of outcomes drawn at the other moments.
const DRAWS: usize = 6;
/// Losses that are named.
const LOSSES_TOLD: usize = 3;

/// The last run of a chain by the rules of one profile, with every sync in place.
pub(super) struct Whole {
    moments: Moments,
    /// Of a recovery after a kill: the writer's moments with the same claims.
    before: Vec<Disk>,
    pending: Vec<BTreeSet<u64>>,
}

/// What was announced at each moment of a run.
pub(super) struct Announcements {
    events: Vec<Vec<Event>>,
    /// The moments with the same claims as each.
    alike: Vec<usize>,
}

/// A state that exists only without a sync, or may.
pub(super) struct State<'s> {
    pub(super) disk: &'s Disk,
    pub(super) events: &'s [Event],
    /// Tells it from others.
    pub(super) hash: u64,
    /// It could not be told whether it exists with every sync in place.
    pub(super) is_undecided: bool,
    /// The disk before the power cut.
    pub(super) before: &'s Disk,
    answers: Vec<u32>,
}

impl Announcements {
    pub(super) fn of(recording: &Followed) -> Self {
        let moments = 0..recording.moments();
        let events: Vec<Vec<Event>> = moments.map(|at| recording.announced_at(at)).collect();
        let mut numbers = HashMap::new();
        let claims = |events: &Vec<Event>| -> Vec<Event> {
            let claims = events.iter().filter(|event| !event.is_beginning());
            claims.copied().collect()
        };
        let alike = events.iter().map(|events| {
            let next = numbers.len();
            *numbers.entry(claims(events)).or_insert(next)
        });
        Self {
            alike: alike.collect(),
            events,
        }
    }

    /// Something has just been claimed.
    fn is_new(&self, moment: usize) -> bool {
        moment > 0 && self.alike[moment] != self.alike[moment - 1]
    }

    /// The first of the moments with the same claims as one.
    pub(super) fn claimed_from(&self, moment: usize) -> usize {
        let mut alike = self.alike.iter();
        let found = alike.position(|other| *other == self.alike[moment]);
        found.unwrap_or(moment)
    }

    /// The moments with the same claims as one, the nearest first.
    fn moments_like(&self, moment: usize) -> Vec<usize> {
        let all = 0..self.alike.len();
        let mut alike: Vec<usize> = all
            .filter(|other| self.alike[*other] == self.alike[moment])
            .collect();
        alike.sort_by_key(|other| other.abs_diff(moment));
        alike
    }
}

impl Whole {
    pub(super) fn of(chain: &Chain, which: usize) -> io::Result<Self> {
        let moments = chain.moments(which, None)?;
        let pending = moments.disks.iter().map(Disk::pending_ops).collect();
        Ok(Self {
            moments,
            before: chain.claimed_before(which)?,
            pending,
        })
    }

    /// Whether a power cut leaves a disk at a moment with the same claims, with every sync in place.
    fn can_leave(&self, left: &Disk, lost: &BTreeSet<u64>, moments: &[usize]) -> Possible {
        let mut found = Possible::No;
        let disks = moments.iter().map(|moment| &self.moments.disks[*moment]);
        for disk in disks.chain(self.before.iter().rev()) {
            match disk.can_leave(left, lost) {
                Possible::Yes => return Possible::Yes,
                Possible::Unknown => found = Possible::Unknown,
                Possible::No => {}
            }
        }
        found
    }

    /// Visits states that exist only without a site's syncs, each once: first those of moments at which
    /// something has just been acknowledged, or which come right before a sync.
    pub(super) fn states_only_of<B>(
        &self,
        without: &Moments,
        chain: &Chain,
        announced: &Announcements,
        rng: &mut ChaCha8Rng,
        mut visit: impl FnMut(State<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let differs = |moment: &usize| {
            let whole = &self.moments.disks[*moment];
            !without.disks[*moment].has_the_same_durable(whole)
        };
        let moments = (0..without.disks.len()).filter(differs);
        let is_at_stake =
            |moment: &usize| announced.is_new(*moment) || chain.is_before_sync(*moment);
        let (mut first, mut others): (Vec<usize>, Vec<usize>) = moments.partition(is_at_stake);
        first.shuffle(rng);
        others.shuffle(rng);
        let mut known = HashMap::new();
        for moment in first.into_iter().chain(others) {
            let disk = &without.disks[moment];
            let events = &announced.events[moment];
            let alike = announced.moments_like(moment);
            let claims = announced.alike[moment];
            crashes(disk, &self.pending[moment], rng, |left, noted| {
                let fingerprint = left.fingerprint();
                let possible = known
                    .entry((fingerprint, claims))
                    .or_insert_with(|| self.can_leave(left, &noted.lost, &alike));
                if *possible == Possible::Yes {
                    return ControlFlow::Continue(());
                }
                let mut hasher = DefaultHasher::new();
                (fingerprint, events).hash(&mut hasher);
                visit(State {
                    disk: left,
                    events,
                    hash: hasher.finish(),
                    is_undecided: *possible == Possible::Unknown,
                    before: disk,
                    answers: noted.answers,
                })
            })?;
        }
        ControlFlow::Continue(())
    }
}

/// Every outcome of a power cut if there are few, and drawn ones if there are many.
fn crashes<B>(
    disk: &Disk,
    pending: &BTreeSet<u64>,
    rng: &mut ChaCha8Rng,
    mut visit: impl FnMut(&Disk, Noted<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut crash = |chooser: &mut dyn Chooser| {
        let mut noted = Noted::new(chooser);
        let left = disk.crash(&mut noted);
        visit(&left, noted)
    };
    let mut odometer = Odometer::default();
    for _ in 0..EXHAUSTIVE {
        crash(&mut odometer)?;
        if !odometer.advance() {
            return ControlFlow::Continue(());
        }
    }
    for draw in 0..DRAWS {
        let drawn = ChaCha8Rng::seed_from_u64(rng.next_u64());
        crash(&mut Focus::new(drawn, pending, draw == 0))?;
    }
    ControlFlow::Continue(())
}

impl State<'_> {
    /// Where the power was lost, in words.
    pub(super) fn point(&self) -> String {
        let mut narrator = Narrator::new(&self.answers);
        self.before.crash(&mut narrator);
        let losses = &narrator.losses;
        let mut told = format!(
            "power loss after operation {}, by the rules of `{}`",
            self.before.clock, self.before.profile
        );
        for loss in losses.iter().take(LOSSES_TOLD) {
            told += "; ";
            told += loss;
        }
        if losses.len() > LOSSES_TOLD {
            let more = losses.len() - LOSSES_TOLD;
            write!(told, "; and {more} more").expect("a string takes everything");
        }
        told
    }
}
