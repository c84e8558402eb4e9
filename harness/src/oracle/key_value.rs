//! The rules for a key-value store.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::Oracle;
use super::violation::Violation;
use crate::history::Event;
use crate::survivor::Survivor;

/// The rules for a key-value store: each key holds its last acknowledged value, or that of a later
/// attempt whose outcome is unknown.
///
/// Survivors' positions are keys. Writes to one key must not overlap:
/// [`Workload::key`](crate::Workload::key) gives each writer keys of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValueOracle {
    /// What the last recovery showed: the id of each key's value.
    shown: BTreeMap<u64, u64>,
}

/// What a key may hold: the id of its value, or nothing.
type Held = Option<u64>;

impl KeyValueOracle {
    /// For each key that was touched: what it may hold, the acknowledged value first.
    fn allowed(&self, events: &[Event]) -> BTreeMap<u64, Vec<Held>> {
        let mut allowed: BTreeMap<u64, Vec<Held>> = self
            .shown
            .iter()
            .map(|(key, id)| (*key, vec![Some(*id)]))
            .collect();
        let mut attempts: HashMap<u64, (u64, Held)> = HashMap::new();
        for event in events {
            match *event {
                Event::Attempt { id, key } | Event::AttemptDelete { id, key } => {
                    let held = matches!(event, Event::Attempt { .. }).then_some(id);
                    attempts.insert(id, (key, held));
                    allowed.entry(key).or_insert_with(|| vec![None]).push(held);
                }
                // Whatever came before is overwritten; attempts after it are not here yet.
                Event::Ack { id, .. } => {
                    if let Some((key, held)) = attempts.get(&id) {
                        allowed.insert(*key, vec![*held]);
                    }
                }
                Event::Refused { id } => {
                    if let Some((key, held)) = attempts.get(&id) {
                        let candidates = allowed.entry(*key).or_default();
                        if let Some(last) = candidates.iter().rposition(|known| known == held) {
                            candidates.remove(last);
                        }
                    }
                }
                // A reader may have been shown an attempt before it was acknowledged.
                Event::Shown { id, position: key } => drop(allowed.insert(key, vec![Some(id)])),
                Event::Failed { .. }
                | Event::TrimBegin { .. }
                | Event::TrimEnd { .. }
                | Event::Together { .. }
                | Event::Durable { .. }
                | Event::Closed => {}
            }
        }
        allowed
    }
}

impl Oracle for KeyValueOracle {
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let (survivors, _) = Survivor::entries(survivors);
        let mut held: BTreeMap<u64, u64> = BTreeMap::new();
        for &Survivor {
            position: key,
            id,
            intact,
        } in survivors
        {
            if !intact {
                return Err(Violation::Mangled { position: key });
            }
            if held.insert(key, id).is_some() {
                return Err(Violation::Duplicate { id, position: key });
            }
        }
        let allowed = self.allowed(events);
        if let Some((key, id)) = held.iter().find(|(key, _)| !allowed.contains_key(key)) {
            return Err(Violation::Phantom {
                id: *id,
                position: *key,
            });
        }
        for (key, candidates) in allowed {
            let found = held.get(&key).copied();
            if !candidates.contains(&found) {
                let expected = candidates.first().copied().flatten();
                return Err(Violation::WrongValue {
                    key,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    fn advance(&mut self, _: &[Event], survivors: &[Survivor]) {
        let (survivors, _) = Survivor::entries(survivors);
        self.shown = survivors
            .iter()
            .map(|survivor| (survivor.position, survivor.id))
            .collect();
    }

    fn boxed_clone(&self) -> Option<Box<dyn Oracle>> {
        Some(Box::new(self.clone()))
    }

    fn save(&self) -> Value {
        let shown: Vec<(&u64, &u64)> = self.shown.iter().collect();
        serde_json::to_value(shown).expect("numbers")
    }

    fn restore(&mut self, saved: Value) -> serde_json::Result<()> {
        let shown: Vec<(u64, u64)> = serde_json::from_value(saved)?;
        self.shown = shown.into_iter().collect();
        Ok(())
    }
}
