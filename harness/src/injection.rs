//! Errors of the disk in one run: what meets one, and what it comes to.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::planned_fault::{PlannedFault, error_name, kind_name};
use crate::sim::FaultKind;

/// Lengths that a write past the page cache may have are multiples of this.
const BLOCK_BYTES: u64 = 512;

/// What a call is to faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Sync,
    SyncDir,
    /// `grows`: it takes space.
    Write {
        grows: bool,
        bytes: u64,
    },
    /// Space without bytes.
    Grow,
    Create,
    Rename,
    /// Of bytes that are in no cache.
    Read,
}

/// The calls of a run that faults apply to, by kind of fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met(BTreeMap<&'static str, Count>);

/// Calls of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) all: u32,
    /// Of these, those after the first announcement.
    pub(crate) after_first_word: u32,
}

impl Met {
    pub(crate) fn count(&self, kind: FaultKind) -> Count {
        self.0.get(kind_name(kind)).copied().unwrap_or_default()
    }
}

/// What a call comes to instead of being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is answered with this error.
    Error(i32),
    /// It is cut to this number of bytes.
    Short(u64),
}

/// A fault that a call has met.
#[derive(Clone, Debug)]
pub(crate) struct Injected {
    pub(crate) effect: Effect,
    /// What is left to chance derives from it.
    pub(crate) chance: u64,
}

impl Injected {
    /// What it did to a call, in words.
    pub(crate) fn told(&self) -> String {
        match self.effect {
            Effect::Error(errno) => format!("answered with {}", error_name(errno)),
            Effect::Short(bytes) => format!("cut short to {bytes} bytes"),
        }
    }

    /// Whether the kernel has tried to write: what was pending is clean afterwards. A call that was
    /// interrupted has tried nothing.
    pub(crate) fn drops_pages(&self) -> bool {
        let tried = [libc::EIO, libc::ENOSPC, libc::EDQUOT];
        matches!(self.effect, Effect::Error(errno) if tried.contains(&errno))
    }
}

/// The faults of one run, and how far they have got.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    plan: Vec<Planned>,
    rng: ChaCha8Rng,
    pub(crate) met: Met,
    /// The number of calls that met a fault.
    pub(crate) injected: u32,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    fault: PlannedFault,
    /// Calls to go well before.
    left: u32,
    /// Calls to fail.
    fails: u32,
}

impl Injection {
    /// Without a plan, the calls are counted.
    pub(crate) fn new(plan: &[PlannedFault], seed: u64) -> Self {
        let plan = plan.iter().map(|planned| Planned {
            fault: *planned,
            left: planned.fault.after,
            fails: match planned.fault.kind {
                FaultKind::NoSpace { lasting } => lasting,
                _ => 1,
            },
        });
        Self {
            plan: plan.collect(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            met: Met::default(),
            injected: 0,
        }
    }

    /// What something of a class meets, if anything. A write of whole blocks is cut between them, if it begins at
    /// `offset`, and that is at one. `has_spoken`: the store has announced something.
    pub(crate) fn meet(
        &mut self,
        class: Class,
        offset: Option<u64>,
        has_spoken: bool,
    ) -> Option<Injected> {
        for kind in FaultKind::ALL
            .into_iter()
            .filter(|kind| applies(*kind, class))
        {
            let count = self.met.0.entry(kind_name(kind)).or_default();
            count.all += 1;
            count.after_first_word += u32::from(has_spoken);
        }
        let mut met = None;
        for planned in &mut self.plan {
            let PlannedFault {
                fault,
                from_first_word,
                errno,
            } = planned.fault;
            let counts = applies(fault.kind, class) && (has_spoken || !from_first_word);
            if !counts || planned.fails == 0 {
                continue;
            }
            if planned.left > 0 {
                planned.left -= 1;
                continue;
            }
            planned.fails -= 1;
            met = Some((fault.kind, errno));
        }
        self.injected += u32::from(met.is_some());
        let (kind, errno) = met?;
        let chance = self.rng.next_u64();
        let effect = match (kind, class) {
            (FaultKind::ShortWrite, Class::Write { bytes, .. }) => {
                Effect::Short(part_of(bytes, offset, chance))
            }
            _ => Effect::Error(errno),
        };
        Some(Injected { effect, chance })
    }
}

/// Some of a write, neither nothing nor all of it; of whole blocks, whole ones.
fn part_of(bytes: u64, offset: Option<u64>, chance: u64) -> u64 {
    let is_whole = |number: u64| number.is_multiple_of(BLOCK_BYTES);
    let unit = if bytes > BLOCK_BYTES && is_whole(bytes) && offset.is_some_and(is_whole) {
        BLOCK_BYTES
    } else {
        1
    };
    (1 + chance % (bytes / unit - 1)) * unit
}

fn applies(kind: FaultKind, class: Class) -> bool {
    match (kind, class) {
        (FaultKind::Sync, Class::Sync)
        | (FaultKind::SyncDir, Class::SyncDir)
        | (FaultKind::Write, Class::Write { .. })
        | (FaultKind::Create, Class::Create)
        | (FaultKind::Rename, Class::Rename)
        | (FaultKind::Read, Class::Read)
        | (FaultKind::NoSpace { .. }, Class::Grow | Class::Create) => true,
        (FaultKind::ShortWrite, Class::Write { bytes, .. }) => bytes > 1,
        (FaultKind::NoSpace { .. }, Class::Write { grows, .. }) => grows,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_is_cut_anywhere_and_one_of_blocks_between_them() {
        let parts = |bytes, offset| {
            let mut parts: Vec<u64> = (0..64)
                .map(|chance| part_of(bytes, offset, chance))
                .collect();
            parts.sort_unstable();
            parts.dedup();
            parts
        };
        assert_eq!(parts(2, Some(0)), [1]);
        assert_eq!(parts(5, Some(512)), [1, 2, 3, 4]);
        assert_eq!(parts(1536, Some(512)), [512, 1024]);
        assert!(parts(1536, Some(3)).contains(&1));
        assert!(parts(512, Some(0)).contains(&1));
        assert!(parts(1536, None).contains(&1));
    }
}
