//! Moments of a life at which it crashes.

use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::lives::{End, Lives};
use super::scene::Scene;
use super::worker::OnTrace;
use crate::recorder::{Disks, Recording};
use crate::sim::Sampler;

impl OnTrace<'_> {
    /// The moments of a life at which it may crash.
    fn moments_looked_at(&self, scene: &Scene<'_>) -> Range<usize> {
        let is_first = self.lives.as_ref().is_none_or(Lives::are_none);
        let (moments, events_at) = scene.moments();
        self.early.first(is_first, moments.clone(), events_at)..moments.end
    }

    /// The moments of a life, in the order in which they are looked at: those right before a sync and those
    /// at which something has just been acknowledged come first.
    pub(super) fn moments_of(&mut self, scene: &Scene<'_>) -> Vec<usize> {
        let recording = scene.recording;
        let acks = |moment| {
            let events = recording.announced_at(moment);
            events.iter().filter(|event| event.ack().is_some()).count()
        };
        let acks: Vec<usize> = (0..recording.moments()).map(acks).collect();
        let is_at_stake = |moment: &usize| {
            let before = moment.checked_sub(1).map_or(0, |before| acks[before]);
            recording.is_before_sync(*moment) || acks[*moment] > before
        };
        let (mut first, mut others): (Vec<usize>, Vec<usize>) =
            self.moments_looked_at(scene).partition(is_at_stake);
        first.shuffle(&mut self.bench.rng);
        others.shuffle(&mut self.bench.rng);
        first.extend(others);
        first
    }

    /// A moment and an end to go on from, if one is looked at. After a failed sync, memory shows what no disk has and no sync
    /// writes: a recovery that reads it there after a kill cannot know, so there the power is lost.
    pub(super) fn draw_crash(&mut self, scene: &Scene<'_>) -> Option<(usize, End)> {
        let recording = scene.recording;
        let moments = self.moments_looked_at(scene);
        if moments.is_empty() {
            return None;
        }
        let moment = self.bench.rng.random_range(moments);
        if scene.plan.is_empty() && self.bench.rng.random_bool(0.4) {
            return Some((moment, End::Kill));
        }
        let rng = ChaCha8Rng::seed_from_u64(self.bench.rng.next_u64());
        let mut sampler = Sampler::new(rng);
        recording.disk_at(moment).crash(&mut sampler);
        Some((moment, End::PowerLoss(sampler.answers())))
    }
}
