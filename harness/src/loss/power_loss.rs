//! Power loss: of what no sync has made durable, a profile says what may be lost.

use std::ops::{ControlFlow, Range};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::contract::LossModel;
use crate::recorder::Disks;
use crate::sim::{Disk, Odometer, Sampler};

/// Every outcome of a moment that has few, and drawn ones of the others.
pub(crate) struct PowerLoss<'r> {
    /// The largest number of outcomes of a moment of which every one is a crash state.
    pub(crate) exhaustive: usize,
    /// The number of outcomes drawn at the other moments; three times as many right before a sync.
    pub(crate) samples: usize,
    pub(crate) rng: &'r mut ChaCha8Rng,
    /// Moments at which the power was cut.
    pub(crate) moments: u64,
    /// Of these, those with every outcome.
    pub(crate) exhausted: u64,
}

impl<'r> PowerLoss<'r> {
    pub(crate) fn new(exhaustive: usize, samples: usize, rng: &'r mut ChaCha8Rng) -> Self {
        Self {
            exhaustive,
            samples,
            rng,
            moments: 0,
            exhausted: 0,
        }
    }
}

/// What a power cut leaves.
pub(crate) struct Outcome<'s> {
    pub(crate) disk: Disk,
    /// What was answered to the questions what is lost: the same answers lose the same.
    pub(crate) answers: &'s dyn Fn() -> Vec<u32>,
}

impl<R: Disks> LossModel<R> for PowerLoss<'_> {
    type State<'s> = Outcome<'s>;

    fn crash_states<B>(
        &mut self,
        recording: &R,
        moments: Range<usize>,
        mut visit: impl FnMut(usize, Outcome<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for moment in moments {
            let disk = recording.disk_at(moment);
            self.moments += 1;
            let mut odometer = Odometer::default();
            let mut is_exhausted = false;
            for _ in 0..self.exhaustive {
                let disk = disk.crash(&mut odometer);
                let answers = &|| odometer.answers();
                visit(moment, Outcome { disk, answers })?;
                if !odometer.advance() {
                    is_exhausted = true;
                    break;
                }
            }
            if is_exhausted {
                self.exhausted += 1;
                continue;
            }
            let before_sync = recording.is_before_sync(moment);
            let draws = self.samples * if before_sync { 3 } else { 1 };
            for _ in 0..draws {
                let rng = ChaCha8Rng::seed_from_u64(self.rng.next_u64());
                let mut sampler = Sampler::new(rng);
                let disk = disk.crash(&mut sampler);
                let answers = &|| sampler.answers();
                visit(moment, Outcome { disk, answers })?;
            }
        }
        ControlFlow::Continue(())
    }
}
