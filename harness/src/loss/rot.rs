//! Rot: bytes of what survived are damaged.

use std::ops::{ControlFlow, Range};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::contract::LossModel;
use crate::recorder::Disks;
use crate::sim::{Damage, Disk};

/// Damaged copies of what a crash left.
pub(crate) struct Rot<'r> {
    /// What the crash left.
    pub(crate) disk: &'r Disk,
    /// The number of copies.
    pub(crate) copies: usize,
    pub(crate) rng: &'r mut ChaCha8Rng,
}

/// A damaged copy, and what was damaged.
pub(crate) struct Rotten {
    pub(crate) disk: Disk,
    pub(crate) damage: Vec<Damage>,
}

impl<R: Disks> LossModel<R> for Rot<'_> {
    type State<'s> = Rotten;

    /// What is stale or misplaced comes from the moments before the crash. The states are those of the
    /// last moment.
    fn crash_states<B>(
        &mut self,
        recording: &R,
        moments: Range<usize>,
        mut visit: impl FnMut(usize, Rotten) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let last = moments.end.saturating_sub(1);
        let then = |damage: &Damage| {
            let moment = moments.start + damage.moment()?;
            (moment < moments.end).then(|| recording.disk_at(moment))
        };
        for _ in 0..self.copies {
            let mut disk = self.disk.clone();
            let mut damage = Vec::new();
            for _ in 0..self.rng.random_range(1..4) {
                if let Some(drawn) = disk.draw_damage(moments.len(), self.rng)
                    && disk.damage(&drawn, then(&drawn).as_deref())
                {
                    damage.push(drawn);
                }
            }
            if !damage.is_empty() {
                visit(last, Rotten { disk, damage })?;
            }
        }
        ControlFlow::Continue(())
    }
}
