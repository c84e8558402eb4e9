//! What a torture counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::oracle::Violation;
use crate::reached::Reached;

/// A counter that every report's table shows.
pub(crate) struct Column {
    /// Its name there.
    pub(crate) header: &'static str,
    pub(crate) of: fn(&Tally) -> u64,
}

/// Declares the counters: a field each, in the order in which the JSON has them. `add` and the
/// columns derive from it: a counter with a header is a column.
macro_rules! counters {
    ($($(#[$attribute:meta])* $name:ident: $type:ty $(, column $header:literal)?;)*) => {
        /// Counters of a row.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Tally {
            $($(#[$attribute])* pub $name: $type,)*
        }

        /// How many attempts were announced, and how many ends of attempts.
fn attempts_and_ends(events: &[Event]) -> (u64, u64) {
    let count = |of: fn(&Event) -> bool| events.iter().filter(|e| of(e)).count() as u64;
    let attempts =
        count(|event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. }));
    let ends = count(|event| {
        matches!(
            event,
            Event::Ack { .. } | Event::Refused { .. } | Event::Failed { .. }
        )
    });
    (attempts, ends)
}

/// Whether something was attempted and had not ended.
pub(crate) fn is_mid_work(events: &[Event]) -> bool {
    let (attempts, ends) = attempts_and_ends(events);
    attempts > ends
}

impl Tally {
            /// The counters that every report's table shows, in this order.
            pub(crate) const COLUMNS: &[Column] = &[
                $($(Column { header: $header, of: |tally| tally.$name },)?)*
            ];

            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name.add(&other.$name);)*
            }
        }
    };
}

counters! {
    /// Generations written and killed.
    rounds: u64, column "rounds";
    /// Crash states that were recovered and checked.
    crash_states: u64, column "states";
    /// Appends begun.
    attempts: u64, column "attempts";
    /// Appends acknowledged.
    acked: u64, column "acked";
    /// Entries that recoveries showed, all rounds added up.
    recovered: u64, column "recovered";
    /// Promises broken.
    violations: u64;
    /// The same by [class](crate::oracle::Violation::class).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    classes: BTreeMap<String, u64>;
    /// Broken promises that were known already, by class: they are passed over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    known: BTreeMap<String, u64>;
    /// Rounds in which the kill hit while appends were in progress.
    killed_mid_work: u64, column "mid-work";
    /// Recoveries killed half-way and done again.
    recoveries_killed: u64;
    /// Recoveries traced, each of their own states recovered again.
    recoveries_traced: u64;
    /// Recoveries done a second time, to compare.
    second_recoveries: u64;
    /// System calls on the store's directory at which states were taken.
    calls: u64;
    /// Real kills compared with the copy taken there.
    calibrations: u64;
    /// Of these, how many left something else.
    miscalibrated: u64;
    /// On the simulated file system: moments at which the power was cut.
    moments: u64;
    /// Of these, how many with every outcome that there is; the others with some drawn ones.
    moments_exhausted: u64;
    /// On the simulated file system: crashes in the middle of recovery or right after it whose
    /// outcomes were looked at.
    recoveries_crashed: u64;
    /// Outcomes that were not looked at because the same bytes and events had been.
    duplicates: u64;
    /// Errors of the disk that were injected.
    faults: u64;
    /// Damaged states that the store refused.
    detected: u64;
    /// Damaged states in which entries were lost that nothing on the disk vouched for any more.
    unprovable: u64;
    /// On a real file system: states that the kernel refused to mount.
    unmountable: u64;
    /// On a real file system: where the time went, in microseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    spent_us: BTreeMap<String, u64>;
    /// Rounds by engine.
    engines: BTreeMap<String, u64>;
    /// What the crash states reached.
    #[serde(default, skip_serializing_if = "Reached::is_empty")]
    reached: Reached;
}

/// A counter, or several with names.
trait Counter {
    fn add(&mut self, other: &Self);
}

impl Counter for u64 {
    fn add(&mut self, other: &Self) {
        *self += other;
    }
}

impl Counter for BTreeMap<String, u64> {
    fn add(&mut self, other: &Self) {
        for (name, count) in other {
            *self.entry(name.clone()).or_default() += count;
        }
    }
}

impl Counter for Reached {
    fn add(&mut self, other: &Self) {
        self.add(other);
    }
}

/// Where the time of a crash state on a real file system goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The writer runs on the recorded device.
    Record,
    /// Crash states are chosen.
    Plan,
    /// The image of a crash state is put together.
    Build,
    /// The image is given to the device.
    Load,
    Mount,
    /// The store recovers.
    Recover,
    Unmount,
    /// The oracle looks at what survived.
    Check,
}

impl Phase {
    /// As [`Tally::spent_us`] has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Plan => "plan",
            Self::Build => "build",
            Self::Load => "load",
            Self::Mount => "mount",
            Self::Recover => "recover",
            Self::Unmount => "unmount",
            Self::Check => "check",
        }
    }
}

impl Tally {
    /// A round with this engine.
    pub(crate) fn count_engine(&mut self, engine: &str) {
        *self.engines.entry(engine.to_owned()).or_default() += 1;
    }

    pub(crate) fn count_round(&mut self, events: &[Event]) {
        self.rounds += 1;
        self.count_run(events);
    }

    /// Counts what a run announced.
    pub(crate) fn count_run(&mut self, events: &[Event]) {
        let (attempts, _) = attempts_and_ends(events);
        let acked = events
            .iter()
            .filter(|event| matches!(event, Event::Ack { .. }));
        self.attempts += attempts;
        self.acked += acked.count() as u64;
        self.killed_mid_work += u64::from(is_mid_work(events));
    }

    /// Counts a broken promise.
    pub(crate) fn violated(&mut self, violation: &Violation) {
        self.violations += 1;
        *self.classes.entry(violation.class()).or_default() += 1;
    }

    /// Takes back broken promises of some classes.
    pub(crate) fn excuse(&mut self, is_excused: impl Fn(&str) -> bool) {
        self.take_back(is_excused);
    }

    /// Passes over broken promises of some classes.
    pub(crate) fn pass_over(&mut self, is_known: impl Fn(&str) -> bool) {
        let known = self.take_back(is_known);
        self.known.add(&known);
    }

    fn take_back(&mut self, is_meant: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let classes = std::mem::take(&mut self.classes).into_iter();
        let (back, kept): (BTreeMap<_, _>, _) = classes.partition(|(class, _)| is_meant(class));
        self.classes = kept;
        self.violations -= back.values().sum::<u64>();
        back
    }

    /// Counts time that went into a phase.
    pub(crate) fn spend(&mut self, phase: Phase, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        *self.spent_us.entry(phase.name().to_owned()).or_default() += micros;
    }

    /// A torture that acknowledged nothing, or never hit anything in the middle of work, has shown
    /// nothing; nor has one whose copies are not what a real kill leaves.
    pub fn is_vacuous(&self) -> bool {
        self.acked == 0 || self.killed_mid_work == 0 || self.miscalibrated > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_a_tally_to_itself_doubles_every_counter() {
        // Whatever counters there are: all of them, by the names that the JSON gives them.
        let mut fields = serde_json::to_value(Tally::default()).expect("plain data");
        let fields = fields.as_object_mut().expect("a struct");
        fields.insert("classes".into(), serde_json::json!({}));
        fields.insert("spent_us".into(), serde_json::json!({}));
        let of = |factor: u64| {
            let mut fields = fields.clone();
            for (field, count) in fields.values_mut().zip(1..) {
                *field = match field {
                    serde_json::Value::Object(_) => serde_json::json!({ "a": factor * count }),
                    _ => serde_json::json!(factor * count),
                };
            }
            serde_json::from_value::<Tally>(fields.into()).expect("of its own fields")
        };
        let mut sum = of(1);
        sum.add(&of(1));
        assert_eq!(sum, of(2));
    }
}
