//! The rules for a black box: those of a log whose positions need not be known.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::protocol::Names;
use crate::history::Event;
use crate::oracle::{Oracle, Violation};
use crate::survivor::Survivor;

/// The rules for a [`BlackBox`](crate::BlackBox):
///
/// - what was acknowledged survives, at the position acknowledged if one was given;
/// - what survives was tried, once, and is what was tried if both sides give a hash;
/// - what was acknowledged before something else was tried stands before it;
/// - what a recovery showed stays, where it was; what a recovery did not show stays away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BlackBoxOracle {
    pub(super) names: Names,
    /// What the last recovery showed, in order.
    shown: Vec<u64>,
    /// How many generations have been.
    pub(super) generation: u32,
}

impl BlackBoxOracle {
    fn broken(&self, promise: &str, id: u64, what: &str) -> Violation {
        Violation::Custom {
            promise: promise.to_owned(),
            detail: self.of_entry(id, what),
        }
    }

    fn lost(&self, promise: &str, id: u64, what: &str) -> Violation {
        Violation::CustomLoss {
            promise: promise.to_owned(),
            detail: self.of_entry(id, what),
        }
    }

    fn of_entry(&self, id: u64, what: &str) -> String {
        format!("entry '{}' {what}", self.names.word(id))
    }

    /// What an earlier recovery showed is the beginning of what this one shows.
    fn check_shown(&self, shown: &[u64], survivors: &[Survivor]) -> Result<(), Violation> {
        for (index, id) in shown.iter().enumerate() {
            match survivors.get(index).map(|survivor| survivor.id) {
                Some(found) if found == *id => {}
                _ if !survivors.iter().any(|survivor| survivor.id == *id) => {
                    let what = "had been shown by an earlier recovery and is gone";
                    return Err(self.lost("taken back", *id, what));
                }
                found => {
                    let found = found.map_or("nothing", |found| self.names.word(found));
                    let what = format!(
                        "had been shown by an earlier recovery at position {index}, where now \
                         '{found}' stands"
                    );
                    return Err(self.broken("moved", *id, &what));
                }
            }
        }
        Ok(())
    }

    /// What is new was tried by this generation.
    fn check_tried<'s>(
        &self,
        events: &[Event],
        new: impl IntoIterator<Item = &'s Survivor>,
    ) -> Result<(), Violation> {
        let tried = events.iter().filter_map(|event| match event {
            Event::Attempt { id, .. } => Some(*id),
            _ => None,
        });
        let tried: HashSet<u64> = tried.collect();
        for Survivor { id, position, .. } in new {
            if tried.contains(id) {
                continue;
            }
            return Err(match self.names.generation(*id) {
                Some(generation) if generation < self.generation => {
                    let what = format!(
                        "at position {position} was tried by generation {generation}, and an \
                         earlier recovery had not shown it"
                    );
                    self.broken("resurrected", *id, &what)
                }
                _ => {
                    let what = format!("at position {position} had not been tried");
                    self.broken("phantom", *id, &what)
                }
            });
        }
        Ok(())
    }

    /// Acknowledged entries are there, where they were acknowledged, and before all that was tried
    /// afterwards.
    fn check_order(&self, events: &[Event], places: &HashMap<u64, u64>) -> Result<(), Violation> {
        // The rearmost of the entries acknowledged so far.
        let mut rearmost: Option<(u64, u64)> = None;
        for event in events {
            if let Some((id, position)) = event.ack() {
                let Some(place) = places.get(&id).copied() else {
                    return Err(self.lost("lost", id, "was acknowledged and is gone"));
                };
                if let Some(position) = position.filter(|position| *position != place) {
                    let what =
                        format!("was acknowledged at position {position} and stands at {place}");
                    return Err(self.broken("moved", id, &what));
                }
                rearmost = rearmost.max(Some((place, id)));
            }
            if let Event::Attempt { id, .. } = *event
                && let (Some(place), Some((floor, before))) = (places.get(&id), rearmost)
                && *place < floor
            {
                let what = format!(
                    "at position {place} stands before '{}' at {floor}, which had been acknowledged \
                     before it was tried",
                    self.names.word(before)
                );
                return Err(self.broken("out of order", id, &what));
            }
        }
        Ok(())
    }

    /// No entry stands at two positions.
    fn places(&self, survivors: &[Survivor]) -> Result<HashMap<u64, u64>, Violation> {
        let mut places = HashMap::new();
        for Survivor { id, position, .. } in survivors {
            if let Some(first) = places.insert(*id, *position) {
                let what = format!("stands at positions {first} and {position}");
                return Err(self.broken("duplicate", *id, &what));
            }
        }
        Ok(places)
    }

    /// What survives is what was tried, where both sides give a hash.
    fn check_bytes(&self, survivors: &[Survivor]) -> Result<(), Violation> {
        match survivors.iter().find(|survivor| !survivor.intact) {
            Some(Survivor { id, position, .. }) => {
                let announced = self.names.hash(*id).unwrap_or("?");
                let what = format!(
                    "at position {position} was announced with hash '{announced}' and has another"
                );
                Err(self.broken("mangled", *id, &what))
            }
            None => Ok(()),
        }
    }

    /// Checks what is served of damaged bytes. Entries may be gone; what is there is what would be right with
    /// these taken out.
    pub(super) fn check_damaged(
        &self,
        events: &[Event],
        survivors: &[Survivor],
    ) -> Result<(), Violation> {
        let places = self.places(survivors)?;
        let shown: HashSet<u64> = self.shown.iter().copied().collect();
        let is_new = |survivor: &&Survivor| !shown.contains(&survivor.id);
        self.check_tried(events, survivors.iter().filter(is_new))?;
        self.check_bytes(survivors)?;
        let is_left = |id: &u64| places.contains_key(id);
        let shown: Vec<u64> = self.shown.iter().copied().filter(is_left).collect();
        self.check_shown(&shown, survivors)?;
        let left = |event: &Event| match event.ack() {
            // What has lost some of those before it has moved towards the beginning.
            Some((id, position)) => {
                let place = places.get(&id)?;
                let behind = position.filter(|position| position < place);
                Some(Event::acked(id, behind))
            }
            None => Some(*event),
        };
        let left: Vec<Event> = events.iter().filter_map(left).collect();
        self.check_order(&left, &places)
    }
}

impl Oracle for BlackBoxOracle {
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let places = self.places(survivors)?;
        self.check_shown(&self.shown, survivors)?;
        // Lost before phantom: the first line of a report should be the worst.
        self.check_order(events, &places)?;
        self.check_tried(events, &survivors[self.shown.len()..])?;
        self.check_bytes(survivors)
    }

    fn advance(&mut self, _: &[Event], survivors: &[Survivor]) {
        self.shown = survivors.iter().map(|survivor| survivor.id).collect();
        self.generation += 1;
    }

    fn boxed_clone(&self) -> Option<Box<dyn Oracle>> {
        Some(Box::new(self.clone()))
    }

    fn save(&self) -> Value {
        serde_json::to_value(self).expect("words and numbers")
    }

    fn restore(&mut self, saved: Value) -> serde_json::Result<()> {
        *self = serde_json::from_value(saved)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generations, each with what the writer and what the checker said; the verdict on the last.
    fn verdict(generations: &[(&str, &str)]) -> Result<(), Violation> {
        let mut oracle = BlackBoxOracle::default();
        let mut last = Ok(());
        for (written, survived) in generations {
            last.clone().expect("only the last one is wrong");
            let events = oracle
                .names
                .events_of(oracle.generation, written.as_bytes())
                .expect("of the protocol");
            let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
            let survivors = oracle.names.survivors_of(survived.as_bytes());
            let survivors = survivors.expect("of the protocol");
            last = oracle.check(&events, &survivors);
            oracle.advance(&events, &survivors);
        }
        last
    }

    /// The verdict on what is served of damaged bytes, where an earlier recovery had shown a, b and c.
    fn damaged(survived: &str) -> Result<(), Violation> {
        let mut oracle = BlackBoxOracle::default();
        let said = [
            "attempt a\nattempt b\nattempt c\nattempt gone\n",
            "attempt d 1\nack d 3\nattempt e\nack e 4\n",
        ];
        let mut events = [Vec::new(), Vec::new()];
        for ((said, events), shown) in said.iter().zip(&mut events).zip(["a b c", ""]) {
            let told = oracle.names.events_of(oracle.generation, said.as_bytes());
            *events = told
                .expect("of the protocol")
                .into_iter()
                .map(|(_, event)| event)
                .collect();
            if !shown.is_empty() {
                let shown = oracle.names.survivors_of(lines(shown).as_bytes());
                oracle.advance(events, &shown.expect("of the protocol"));
            }
        }
        let survivors = oracle.names.survivors_of(lines(survived).as_bytes());
        oracle.check_damaged(&events[1], &survivors.expect("of the protocol"))
    }

    fn lines(words: &str) -> String {
        let line = |word: &str| format!("survived {}\n", word.replace('=', " "));
        words
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(line)
            .collect()
    }

    #[test]
    fn damage_excuses_whatever_is_gone() {
        for survived in ["", "a b c d=1 e", "b d=1", "a c e", "e", "d e", "a b"] {
            assert_eq!(damaged(survived), Ok(()), "{survived}");
        }
    }

    #[test]
    fn damage_excuses_nothing_that_is_wrong() {
        for (survived, complaint) in [
            ("x b", "phantom: entry 'x'"),
            ("a b c gone", "resurrected: entry 'gone'"),
            ("d=2", "mangled: entry 'd'"),
            ("a b b", "duplicate: entry 'b'"),
            ("c a", "moved: entry 'a'"),
            ("d a", "moved: entry 'a'"),
            ("e d", "out of order: entry 'e'"),
        ] {
            let violation = damaged(survived).expect_err(complaint);
            assert!(violation.to_string().starts_with(complaint), "{violation}");
        }
    }

    #[test]
    fn what_was_not_acknowledged_may_survive_or_not() {
        for survived in ["survived a", "survived a\nsurvived b"] {
            let written = "attempt a\nack a 0\nattempt b\n";
            assert_eq!(verdict(&[(written, survived)]), Ok(()));
        }
    }

    #[test]
    fn concurrent_attempts_may_stand_in_any_order() {
        let written = "attempt a\nattempt b\nack a\nack b\n";
        assert_eq!(verdict(&[(written, "survived b\nsurvived a")]), Ok(()));
    }

    #[test]
    fn each_broken_promise_has_its_name() {
        let first = ("attempt a\nattempt b\nack a\n", "survived a");
        for (written, survived, complaint) in [
            ("", "", "taken back: entry 'a'"),
            ("attempt c\n", "survived c\nsurvived a", "moved: entry 'a'"),
            ("attempt c\nack c\n", "survived a", "lost: entry 'c'"),
            (
                "attempt c\nack c 2\n",
                "survived a\nsurvived c",
                "moved: entry 'c'",
            ),
            ("", "survived a\nsurvived b", "resurrected: entry 'b'"),
            ("", "survived a\nsurvived x", "phantom: entry 'x'"),
            (
                "attempt c\n",
                "survived a\nsurvived c\nsurvived c",
                "duplicate: entry 'c'",
            ),
            (
                "attempt c 1\n",
                "survived a\nsurvived c 2",
                "mangled: entry 'c'",
            ),
            (
                "attempt c\nack c\nattempt d\n",
                "survived a\nsurvived d\nsurvived c",
                "out of order: entry 'd'",
            ),
        ] {
            let violation = verdict(&[first, (written, survived)]).expect_err(complaint);
            assert!(violation.to_string().starts_with(complaint), "{violation}");
        }
    }
}
