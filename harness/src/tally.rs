//! What a torture counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::oracle::Violation;

/// Counters of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Generations written and killed.
    pub rounds: u64,
    /// Crash states that were recovered and checked.
    pub crash_states: u64,
    /// Appends begun.
    pub attempts: u64,
    /// Appends acknowledged.
    pub acked: u64,
    /// Entries that recoveries showed, all rounds added up.
    pub recovered: u64,
    /// Promises broken.
    pub violations: u64,
    /// The same by [class](crate::oracle::Violation::class).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, u64>,
    /// Rounds in which the kill hit while appends were in progress.
    pub killed_mid_work: u64,
    /// Recoveries killed half-way and done again.
    pub recoveries_killed: u64,
    /// Recoveries traced, each of their own states recovered again.
    pub recoveries_traced: u64,
    /// Recoveries done a second time, to compare.
    pub second_recoveries: u64,
    /// System calls on the store's directory at which states were taken.
    pub calls: u64,
    /// Real kills compared with the copy taken there.
    pub calibrations: u64,
    /// Of these, how many left something else.
    pub miscalibrated: u64,
    /// On the simulated file system: moments at which the power was cut.
    pub moments: u64,
    /// Of these, how many with every outcome that there is; the others with some drawn ones.
    pub moments_exhausted: u64,
    /// On the simulated file system: crashes in the middle of recovery or right after it whose
    /// outcomes were looked at.
    pub recoveries_crashed: u64,
    /// Outcomes that were not looked at because the same bytes and events had been.
    pub duplicates: u64,
    /// Errors of the disk that were injected.
    pub faults: u64,
    /// Damaged states that the store refused.
    pub detected: u64,
    /// Damaged states in which entries were lost that nothing on the disk vouched for any more.
    pub unprovable: u64,
    /// On a real file system: states that the kernel refused to mount.
    pub unmountable: u64,
    /// On a real file system: where the time went, in microseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent_us: BTreeMap<String, u64>,
    /// Rounds by engine.
    pub engines: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn count_round(&mut self, events: &[Event]) {
        self.rounds += 1;
        self.count_run(events);
    }

    /// Counts what a run announced.
    pub(crate) fn count_run(&mut self, events: &[Event]) {
        let count = |of: fn(&Event) -> bool| events.iter().filter(|e| of(e)).count() as u64;
        let attempts =
            count(|event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. }));
        let ends = count(|event| {
            matches!(
                event,
                Event::Ack { .. } | Event::Refused { .. } | Event::Failed { .. }
            )
        });
        self.attempts += attempts;
        self.acked += count(|event| matches!(event, Event::Ack { .. }));
        self.killed_mid_work += u64::from(attempts > ends);
    }

    /// Counts a broken promise.
    pub(crate) fn violated(&mut self, violation: &Violation) {
        self.violations += 1;
        *self.classes.entry(violation.class()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.crash_states += other.crash_states;
        self.attempts += other.attempts;
        self.acked += other.acked;
        self.recovered += other.recovered;
        self.violations += other.violations;
        for (class, times) in &other.classes {
            *self.classes.entry(class.clone()).or_default() += times;
        }
        self.killed_mid_work += other.killed_mid_work;
        self.recoveries_killed += other.recoveries_killed;
        self.recoveries_traced += other.recoveries_traced;
        self.second_recoveries += other.second_recoveries;
        self.calls += other.calls;
        self.calibrations += other.calibrations;
        self.miscalibrated += other.miscalibrated;
        self.moments += other.moments;
        self.moments_exhausted += other.moments_exhausted;
        self.recoveries_crashed += other.recoveries_crashed;
        self.duplicates += other.duplicates;
        self.faults += other.faults;
        self.detected += other.detected;
        self.unprovable += other.unprovable;
        self.unmountable += other.unmountable;
        for (what, time) in &other.spent_us {
            *self.spent_us.entry(what.clone()).or_default() += time;
        }
        for (engine, rounds) in &other.engines {
            *self.engines.entry(engine.clone()).or_default() += rounds;
        }
    }

    /// A torture that acknowledged nothing, or never hit anything in the middle of work, has shown
    /// nothing; nor has one whose copies are not what a real kill leaves.
    pub fn is_vacuous(&self) -> bool {
        self.acked == 0 || self.killed_mid_work == 0 || self.miscalibrated > 0
    }
}
