//! What a store makes of damaged bytes.

use std::ops::Range;

use super::world::{LastWords, Lived, World};
use crate::oracle::{self, Stage, Violation};
use crate::sim::{Disk, Fault};
use crate::survivor::Survivor;

/// The disk at a moment of the last life, up to where it ended.
pub(super) fn disk_at<'l>(world: &World<'_>, lived: &'l Lived, moment: usize) -> Option<&'l Disk> {
    let gaps = &lived.recording.gaps[moments_of(world, lived)];
    gaps.get(moment).map(|gap| &gap.disk)
}

/// The moments of the last life, up to where it ended.
pub(super) fn moments_of(world: &World<'_>, lived: &Lived) -> Range<usize> {
    let last = world.timeline.steps.last();
    let until = last.and_then(|step| step.until);
    let gaps = lived.recording.gaps.len();
    0..until.map_or(gaps, |until| (until + 1).min(gaps))
}

/// What a store did with damaged bytes, all of it in order.
pub(super) enum Decayed {
    /// It served this number of entries, among them all that it must.
    Served(usize),
    /// It refused.
    Refused,
    /// It lost what nothing on the disk vouches for.
    Unprovable,
    /// It did nothing that the errors of the disk concern.
    Unmet,
}

impl Decayed {
    /// Tells what came of it from what else could.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Served(_) => 0,
            Self::Refused => 1,
            Self::Unprovable => 2,
            Self::Unmet => 3,
        }
    }
}

/// Recovers damaged bytes, on a disk that may fail meanwhile, and asks the oracle. What nothing on the disk
/// vouches for may be lost. What cannot be read says nothing.
pub(super) fn examine_damaged(
    world: &World<'_>,
    disk: &Disk,
    faults: &[Fault],
) -> Result<Decayed, Violation> {
    let (shown, injected) = world.show(disk.clone(), &world.workloads, faults);
    if !faults.is_empty() && injected == 0 {
        return Ok(Decayed::Unmet);
    }
    let survivors = match shown {
        Ok(survivors) => survivors,
        Err(LastWords::Error(_)) => return Ok(Decayed::Refused),
        Err(words) => return Err(words.of(Stage::DamagedRecovery)),
    };
    let Err(violation) = world.oracle.check(&world.events, &survivors) else {
        return Ok(Decayed::Served(Survivor::entries(&survivors).0.len()));
    };
    if !violation.is_loss() {
        return Err(violation);
    }
    let Some(vouched) = world.vouched(disk.clone()) else {
        return Ok(Decayed::Unprovable);
    };
    let mut lenient = oracle::copy(&*world.oracle, || world.bench.subject.oracle());
    lenient.excuse(vouched);
    lenient
        .check(&world.events, &survivors)
        .map(|()| Decayed::Unprovable)
}
