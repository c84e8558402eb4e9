//! The rules for a log.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::Oracle;
use super::violation::Violation;
use crate::history::Event;
use crate::survivor::Survivor;
use crate::workload::generation_of;

/// The rules for a log: positions are consecutive numbers from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOracle {
    /// What the last recovery showed: ids from position `base` on.
    shown: Vec<u64>,
    base: u64,
    /// Everything below may be gone.
    trimmed: u64,
    /// From here on, entries may be lost.
    #[serde(default)]
    excused: Option<u64>,
    /// The last recovery found it closed.
    #[serde(default)]
    closed: bool,
}

impl LogOracle {
    /// Position after the last entry that an earlier recovery showed.
    fn shown_end(&self) -> u64 {
        self.base.saturating_add(self.shown.len() as u64)
    }

    fn is_excused(&self, position: u64) -> bool {
        self.excused.is_some_and(|from| position >= from)
    }

    /// What earlier recoveries and running readers have been shown must still be there.
    fn check_shown(
        &self,
        events: &[Event],
        trimmed: u64,
        at: impl Fn(u64) -> Option<u64>,
    ) -> Result<(), Violation> {
        let earlier = self
            .shown
            .iter()
            .zip(self.base..)
            .map(|(id, position)| (*id, position));
        let running = events.iter().filter_map(|event| match event {
            Event::Shown { id, position } => Some((*id, *position)),
            _ => None,
        });
        for (id, position) in earlier.chain(running) {
            let found = at(position);
            let may_be_gone = position < trimmed || self.is_excused(position);
            if found != Some(id) && (found.is_some() || !may_be_gone) {
                return Err(Violation::Unshown {
                    id,
                    position,
                    found,
                });
            }
        }
        Ok(())
    }

    /// What is new must come from an attempt of this generation, once, in order.
    fn check_tail(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        // For each attempt: the position that had been acknowledged when it began, plus one.
        let mut floors: HashMap<u64, u64> = HashMap::new();
        let mut floor = 0;
        for event in events {
            match event {
                Event::Attempt { id, .. } => drop(floors.insert(*id, floor)),
                Event::Ack { position, .. } => floor = floor.max(position.saturating_add(1)),
                Event::Refused { id } => drop(floors.remove(id)),
                _ => {}
            }
        }
        let mut seen = HashSet::new();
        for &Survivor { position, id, .. } in survivors {
            if !seen.insert(id) {
                return Err(Violation::Duplicate { id, position });
            }
            if position < self.shown_end() {
                continue;
            }
            match floors.get(&id) {
                None if generation_of(id) < newest_generation(events) => {
                    return Err(Violation::Resurrected { id, position });
                }
                None => return Err(Violation::Phantom { id, position }),
                Some(&floor) if position < floor => {
                    return Err(Violation::OutOfOrder {
                        id,
                        position,
                        after: floor - 1,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What was said to be durable must be there, whether or not it had been acknowledged.
    fn check_durable(&self, events: &[Event], end: u64) -> Result<(), Violation> {
        let said = events.iter().filter_map(|event| match event {
            Event::Durable { below } => Some(*below),
            _ => None,
        });
        let Some(below) = said.max() else {
            return Ok(());
        };
        if self.excused.map_or(below, |from| below.min(from)) > end {
            return Err(Violation::NotDurable { below, end });
        }
        Ok(())
    }

    /// A batch survives as a whole, in a row, or not at all.
    fn check_batches(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let pairs = events.iter().filter_map(|event| match event {
            Event::Together { id, after } => Some((*id, *after)),
            _ => None,
        });
        let mut pairs = pairs.peekable();
        if pairs.peek().is_none() {
            return Ok(());
        }
        let positions: HashMap<u64, u64> = survivors.iter().map(|s| (s.id, s.position)).collect();
        // The one before it may have been trimmed.
        let is_first = |position| survivors.first().is_some_and(|s| s.position == position);
        for (id, after) in pairs {
            let is_whole = match (positions.get(&after), positions.get(&id)) {
                (None, None) => true,
                (Some(before), Some(position)) => before.checked_add(1) == Some(*position),
                (Some(before), None) => self.is_excused(before.saturating_add(1)),
                (None, Some(position)) => *position > 0 && is_first(*position),
            };
            if !is_whole {
                return Err(Violation::TornBatch { id, after });
            }
        }
        Ok(())
    }

    /// Closed, and nothing has been tried since.
    fn is_closed_after(&self, events: &[Event]) -> bool {
        let last = events.iter().rev().find_map(|event| match event {
            Event::Closed => Some(true),
            Event::Attempt { .. } | Event::TrimBegin { .. } => Some(false),
            _ => None,
        });
        last.unwrap_or(self.closed)
    }

    fn trimmed_after(&self, events: &[Event]) -> u64 {
        let trims = events.iter().filter_map(|event| match event {
            Event::TrimBegin { below } => Some(*below),
            _ => None,
        });
        trims.fold(self.trimmed, u64::max)
    }
}

impl Oracle for LogOracle {
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let (survivors, is_closed) = Survivor::entries(survivors);
        let trimmed = self.trimmed_after(events);
        // If nothing vouches for what had not been trimmed, the beginning of the log is unknown.
        check_run(
            survivors,
            self.excused.map_or(trimmed, |from| from.max(trimmed)),
        )?;
        let base = survivors.first().map_or(trimmed, |first| first.position);
        let at = |position: u64| -> Option<u64> {
            let index = usize::try_from(position.checked_sub(base)?).ok()?;
            survivors.get(index).map(|survivor| survivor.id)
        };
        self.check_shown(events, trimmed, at)?;
        check_acks(
            events,
            |position| position < trimmed || self.is_excused(position),
            at,
        )?;
        self.check_tail(events, survivors)?;
        let end = survivors
            .last()
            .map_or(0, |last| last.position.saturating_add(1));
        self.check_durable(events, end.max(trimmed))?;
        self.check_batches(events, survivors)?;
        if !is_closed && self.excused.is_none() && self.is_closed_after(events) {
            return Err(Violation::NotClosed);
        }
        Ok(())
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        let (survivors, is_closed) = Survivor::entries(survivors);
        self.closed = is_closed;
        self.trimmed = self.trimmed_after(events);
        self.base = survivors
            .first()
            .map_or(self.shown_end().max(self.trimmed), |s| s.position);
        self.shown = survivors.iter().map(|survivor| survivor.id).collect();
    }

    fn excuse(&mut self, from: u64) {
        self.excused = Some(from);
    }

    fn boxed_clone(&self) -> Option<Box<dyn Oracle>> {
        Some(Box::new(self.clone()))
    }

    fn save(&self) -> Value {
        serde_json::to_value(self).expect("numbers")
    }

    fn restore(&mut self, saved: Value) -> serde_json::Result<()> {
        *self = serde_json::from_value(saved)?;
        Ok(())
    }
}

/// Survivors are intact and form one run that begins no later than where trimming ends.
fn check_run(survivors: &[Survivor], trimmed: u64) -> Result<(), Violation> {
    if let Some(first) = survivors.first().filter(|first| first.position > trimmed) {
        return Err(Violation::LostBeginning {
            expected: trimmed,
            found: first.position,
        });
    }
    if let Some(pair) = survivors
        .windows(2)
        .find(|p| Some(p[1].position) != p[0].position.checked_add(1))
    {
        return Err(Violation::Hole {
            after: pair[0].position,
            found: pair[1].position,
        });
    }
    match survivors.iter().find(|survivor| !survivor.intact) {
        Some(Survivor { position, .. }) => Err(Violation::Mangled {
            position: *position,
        }),
        None => Ok(()),
    }
}

/// Every acknowledged entry stands where it was acknowledged.
fn check_acks(
    events: &[Event],
    may_be_gone: impl Fn(u64) -> bool,
    at: impl Fn(u64) -> Option<u64>,
) -> Result<(), Violation> {
    let mut acked: HashMap<u64, u64> = HashMap::new();
    for event in events {
        let Event::Ack { id, position } = *event else {
            continue;
        };
        if let Some(other) = acked.insert(position, id) {
            return Err(Violation::WrongAck {
                id,
                position,
                found: other,
            });
        }
        match at(position) {
            Some(found) if found != id => {
                return Err(Violation::WrongAck {
                    id,
                    position,
                    found,
                });
            }
            None if !may_be_gone(position) => return Err(Violation::LostAck { id, position }),
            _ => {}
        }
    }
    Ok(())
}

fn newest_generation(events: &[Event]) -> u32 {
    let generations = events.iter().filter_map(|event| match event {
        Event::Attempt { id, .. } => Some(generation_of(*id)),
        _ => None,
    });
    generations.max().unwrap_or(u32::MAX)
}
