//! The disk breaks on request.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Which requests fail with EIO. Counted from 1, from the moment the plan is given to the disk.
///
/// A write that fails leaves the disk as it was. A flush that fails makes nothing durable, and
/// loses nothing either: that is the kernel's part, which may hold the pages as clean from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultPlan {
    /// These writes fail, discards and zeros counted too.
    #[serde(default)]
    pub writes: BTreeSet<u64>,
    /// These flushes fail.
    #[serde(default)]
    pub flushes: BTreeSet<u64>,
    /// Once one has failed, so do all later ones of either kind.
    #[serde(default)]
    pub for_good: bool,
}

impl FaultPlan {
    /// The n-th write fails.
    #[must_use]
    pub fn fail_write(mut self, n: u64) -> Self {
        self.writes.insert(n);
        self
    }

    /// The n-th flush fails.
    #[must_use]
    pub fn fail_flush(mut self, n: u64) -> Self {
        self.flushes.insert(n);
        self
    }

    /// The disk does not come back after its first failure.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.for_good = true;
        self
    }
}

/// What was asked of the disk since it was given its plan.
#[derive(Debug, Default)]
pub(super) struct Faults {
    plan: FaultPlan,
    writes: u64,
    flushes: u64,
    failed: u64,
}

impl Faults {
    pub(super) fn new(plan: FaultPlan) -> Self {
        Self {
            plan,
            ..Self::default()
        }
    }

    /// Whether the next one fails.
    pub(super) fn fails(&mut self, is_flush: bool) -> bool {
        let (count, planned) = if is_flush {
            (&mut self.flushes, &self.plan.flushes)
        } else {
            (&mut self.writes, &self.plan.writes)
        };
        *count += 1;
        let fails = planned.contains(count) || (self.plan.for_good && self.failed > 0);
        self.failed += u64::from(fails);
        fails
    }

    /// How many have failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}
