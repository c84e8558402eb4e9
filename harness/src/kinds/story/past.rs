//! The lives of a directory before the failed one.

use std::fmt::{self, Write as _};

use super::announced::Announcements;
use crate::history::Event;
use crate::survivor::Survivor;

/// Announcements told of each life, its last ones.
const ANNOUNCED_TOLD: usize = 3;

/// The lives before, and what they leave to the failed one.
#[derive(Debug, Default)]
pub(in crate::kinds) struct Past {
    lives: usize,
    told: String,
    /// What the last recovery showed.
    shown: Vec<Survivor>,
    /// Below this position, that may be gone.
    trimmed: u64,
}

/// A life of the store that has ended, and what recovery made of it.
pub(in crate::kinds) struct PastLife<'l> {
    pub(in crate::kinds) events: &'l [Event],
    /// How it ended, as a sentence.
    pub(in crate::kinds) ended: String,
    pub(in crate::kinds) shown: Vec<Survivor>,
}

impl Past {
    pub(in crate::kinds) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Lives that are told elsewhere, the last recovery of which showed this.
    pub(in crate::kinds) fn showing(shown: Vec<Survivor>) -> Self {
        Self {
            shown,
            ..Self::default()
        }
    }

    /// Another life has passed. `entry` names an entry.
    pub(in crate::kinds) fn push(&mut self, life: PastLife<'_>, entry: &dyn Fn(u64) -> String) {
        self.lives += 1;
        life.tell(&mut self.told, self.lives, entry)
            .expect("a string takes everything");
        for event in life.events {
            if let Event::TrimBegin { below } = event {
                self.trimmed = self.trimmed.max(*below);
            }
        }
        self.shown = life.shown;
    }

    /// The number of the failed life.
    pub(in crate::kinds) fn next(&self) -> usize {
        self.lives + 1
    }

    /// Each life, numbered from 1.
    pub(in crate::kinds) fn told(&self) -> &str {
        &self.told
    }

    /// What the last recovery showed, and below which position it may be gone.
    pub(super) fn shown(&self) -> (&[Survivor], u64) {
        (&self.shown, self.trimmed)
    }
}

impl PastLife<'_> {
    fn tell(&self, told: &mut String, number: usize, entry: &dyn Fn(u64) -> String) -> fmt::Result {
        writeln!(told, "{number}. A process opens the store and writes.\n")?;
        let first = self.events.len().saturating_sub(ANNOUNCED_TOLD);
        if self.events.is_empty() {
            writeln!(told, "          it announces nothing")?;
        }
        if first > 0 {
            writeln!(told, "          ... {first} announcements before")?;
        }
        let mut announcements = Announcements::of(self.events, entry);
        for line in announcements.new_in(&self.events[first..]) {
            writeln!(told, "          {line}")?;
        }
        writeln!(told, "\n   {}", self.ended)?;
        writeln!(told, "   By then it had {}.", counts(self.events))?;
        writeln!(told, "   Recovery then shows {}.\n", count(&self.shown))
    }
}

/// What was tried and acknowledged.
pub(super) fn counts(events: &[Event]) -> String {
    let is_attempt =
        |event: &&Event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. });
    let tried = events.iter().filter(is_attempt).count();
    let acked = events.iter().filter(|event| event.ack().is_some()).count();
    format!("attempted {tried} and acknowledged {acked}")
}

/// What a recovery showed, by number.
pub(super) fn count(shown: &[Survivor]) -> String {
    let positions = shown.iter().map(|survivor| survivor.position);
    match (shown.len(), positions.clone().min(), positions.max()) {
        (1, Some(at), _) => format!("1 entry, at position {at}"),
        (count, Some(from), Some(to)) => format!("{count} entries, from position {from} to {to}"),
        _ => "nothing".to_owned(),
    }
}
