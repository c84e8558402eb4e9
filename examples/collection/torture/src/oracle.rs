//! The rules for the collection.

use std::collections::{BTreeMap, HashMap, HashSet};

use plugpull::Survivor;
use plugpull::history::Event;
use plugpull::oracle::{Oracle, Violation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The rules for the collection: each key holds what its last certain operation left there, or what a
/// later operation of unknown outcome would have.
///
/// An operation is certain if it was acknowledged, if a search has shown what it inserted, or if an earlier
/// recovery has. Operations on one key come one after another, in the order of their ids; a search may be
/// late in saying what it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionOracle {
    /// What the last recovery showed: key and attempt.
    shown: Vec<(u64, u64)>,
}

/// What an attempt leaves under its key: itself, or nothing.
type Held = Option<u64>;

#[derive(Debug, Default)]
struct Key {
    /// The last certain operation's attempt, and what it leaves.
    certain: Option<(u64, Held)>,
    /// Attempts that were not refused, and what they leave.
    attempts: BTreeMap<u64, Held>,
}

impl Key {
    fn make_certain(&mut self, id: u64, held: Held) {
        if self.certain.is_none_or(|(certain, _)| certain <= id) {
            self.certain = Some((id, held));
        }
    }

    /// What it may hold, the certain one first.
    fn allowed(&self) -> impl Iterator<Item = Held> {
        let (certain, held) = match self.certain {
            Some((certain, held)) => (Some(certain), held),
            None => (None, None),
        };
        let later = self.attempts.iter();
        let later = later.filter(move |(id, _)| certain.is_none_or(|certain| certain < **id));
        std::iter::once(held).chain(later.map(|(_, held)| *held))
    }
}

impl CollectionOracle {
    fn keys(&self, events: &[Event]) -> BTreeMap<u64, Key> {
        let mut keys: BTreeMap<u64, Key> = BTreeMap::new();
        for (key, id) in &self.shown {
            keys.entry(*key).or_default().make_certain(*id, Some(*id));
        }
        let mut key_of: HashMap<u64, u64> = HashMap::new();
        for event in events {
            match *event {
                Event::Attempt { id, key } | Event::AttemptDelete { id, key } => {
                    let held = matches!(event, Event::Attempt { .. }).then_some(id);
                    key_of.insert(id, key);
                    keys.entry(key).or_default().attempts.insert(id, held);
                }
                Event::Ack { id, .. } => {
                    let key = key_of.get(&id).and_then(|key| keys.get_mut(key));
                    if let Some(key) = key
                        && let Some(held) = key.attempts.get(&id).copied()
                    {
                        key.make_certain(id, held);
                    }
                }
                Event::Refused { id } => {
                    if let Some(key) = key_of.get(&id).and_then(|key| keys.get_mut(key)) {
                        key.attempts.remove(&id);
                    }
                }
                Event::Shown { id, position: key } => {
                    keys.entry(key).or_default().make_certain(id, Some(id));
                }
                Event::Failed { .. }
                | Event::TrimBegin { .. }
                | Event::TrimEnd { .. }
                | Event::Together { .. }
                | Event::Durable { .. }
                | Event::Closed => {}
            }
        }
        keys
    }
}

impl Oracle for CollectionOracle {
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let keys = self.keys(events);
        let mut held: HashMap<u64, u64> = HashMap::new();
        let mut ids = HashSet::new();
        for &Survivor {
            position: key,
            id,
            intact,
        } in survivors
        {
            if !intact {
                return Err(Violation::Mangled { position: key });
            }
            if held.insert(key, id).is_some() || !ids.insert(id) {
                return Err(Violation::Duplicate { id, position: key });
            }
            if !keys.contains_key(&key) {
                return Err(Violation::Phantom { id, position: key });
            }
        }
        for (key, rules) in keys {
            let found = held.get(&key).copied();
            if !rules.allowed().any(|allowed| allowed == found) {
                let expected = rules.certain.and_then(|(_, held)| held);
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
        let shown = survivors
            .iter()
            .map(|survivor| (survivor.position, survivor.id));
        self.shown = shown.collect();
    }

    fn save(&self) -> Value {
        serde_json::to_value(self).expect("numbers")
    }

    fn restore(&mut self, saved: Value) -> serde_json::Result<()> {
        *self = serde_json::from_value(saved)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 7;

    fn put(id: u64) -> Event {
        Event::Attempt { id, key: KEY }
    }

    fn remove(id: u64) -> Event {
        Event::AttemptDelete { id, key: KEY }
    }

    fn ack(id: u64) -> Event {
        Event::Ack { id, position: KEY }
    }

    fn shown(id: u64) -> Event {
        Event::Shown { id, position: KEY }
    }

    fn survivors(id: Option<u64>) -> Vec<Survivor> {
        let survivor = |id| Survivor {
            position: KEY,
            id,
            intact: true,
        };
        id.map(survivor).into_iter().collect()
    }

    #[test]
    fn a_key_holds_what_is_certain_or_what_may_have_come_later() {
        for (events, allowed, forbidden) in [
            (vec![put(1)], vec![None, Some(1)], vec![Some(2)]),
            (vec![put(1), ack(1)], vec![Some(1)], vec![None]),
            (vec![put(1), ack(1), remove(2)], vec![Some(1), None], vec![]),
            (
                vec![put(1), ack(1), remove(2), ack(2)],
                vec![None],
                vec![Some(1)],
            ),
            (
                vec![put(1), ack(1), put(2), Event::Failed { id: 2 }, put(3)],
                vec![Some(1), Some(2), Some(3)],
                vec![None],
            ),
            (
                vec![put(1), ack(1), put(2), Event::Refused { id: 2 }],
                vec![Some(1)],
                vec![Some(2), None],
            ),
            // What a search has shown is as good as acknowledged.
            (vec![put(1), shown(1)], vec![Some(1)], vec![None]),
            // A search that is late in saying what it saw takes nothing back.
            (
                vec![put(1), ack(1), put(2), ack(2), shown(1)],
                vec![Some(2)],
                vec![Some(1), None],
            ),
        ] {
            let oracle = CollectionOracle::default();
            for held in allowed {
                assert_eq!(
                    oracle.check(&events, &survivors(held)),
                    Ok(()),
                    "{events:?}"
                );
            }
            for held in forbidden {
                assert!(
                    oracle.check(&events, &survivors(held)).is_err(),
                    "{events:?}"
                );
            }
        }
    }

    #[test]
    fn what_a_recovery_did_not_show_stays_away() {
        let mut oracle = CollectionOracle::default();
        let first = [put(1), ack(1), put(2)];
        oracle.advance(&first, &survivors(Some(1)));
        assert_eq!(oracle.check(&[], &survivors(Some(1))), Ok(()));
        assert!(oracle.check(&[], &survivors(Some(2))).is_err());
        assert!(oracle.check(&[], &survivors(None)).is_err());
    }
}
