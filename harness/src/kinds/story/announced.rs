//! Announcements, in the order in which they were made.

use std::collections::HashSet;

use crate::history::Event;

/// Announcements told at one place of a story, the last ones.
const TOLD: usize = 12;

/// How announcements are put into words.
pub(in crate::kinds) struct Announcements<'s> {
    entry: &'s dyn Fn(u64) -> String,
    has_keys: bool,
    told: HashSet<Event>,
}

impl<'s> Announcements<'s> {
    /// Of a life that announced these.
    pub(in crate::kinds) fn of(events: &[Event], entry: &'s dyn Fn(u64) -> String) -> Self {
        Self {
            entry,
            has_keys: Event::have_keys(events),
            told: HashSet::new(),
        }
    }

    /// Passes over these.
    pub(in crate::kinds) fn pass_over(&mut self, events: &[Event]) {
        self.told.extend(events);
    }

    /// Those of `events` that have not been told, a line each.
    pub(in crate::kinds) fn new_in(&mut self, events: &[Event]) -> Vec<String> {
        let new: Vec<Event> = events
            .iter()
            .filter(|event| !self.told.contains(event))
            .copied()
            .collect();
        self.told.extend(&new);
        let first = new.len().saturating_sub(TOLD);
        let before = (first > 0).then(|| format!("... {first} announcements before"));
        let told = new[first..]
            .iter()
            .map(|event| event.in_words(self.entry, self.has_keys));
        before.into_iter().chain(told).collect()
    }
}
