//! What recovery must show: the rules for a log.
//!
//! An oracle knows what was announced and what earlier recoveries showed; it is asked about each
//! crash state, and moves on to the next generation with what it saw. It trusts nothing that died
//! with the writer.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::subject::Survivor;
use crate::workload::generation_of;

/// A promise that was broken. Its Display says which entry, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Violation {
    /// Survivors are not one run of consecutive positions.
    Hole {
        /// The position after which something is missing, doubled or out of order.
        after: u64,
        /// The position found instead of the next one.
        found: u64,
    },
    /// The first survivor lies above what was trimmed.
    LostBeginning {
        /// The lowest position that must survive.
        expected: u64,
        /// The first position found.
        found: u64,
    },
    /// An acknowledged entry is gone.
    LostAck {
        /// The attempt.
        id: u64,
        /// Where it was acknowledged.
        position: u64,
    },
    /// An acknowledged position holds another entry.
    WrongAck {
        /// The attempt.
        id: u64,
        /// Where it was acknowledged.
        position: u64,
        /// What stands there.
        found: u64,
    },
    /// An entry that a reader or an earlier recovery had been shown is gone or has become another
    /// one.
    Unshown {
        /// The attempt.
        id: u64,
        /// Where it was shown.
        position: u64,
        /// What stands there now.
        found: Option<u64>,
    },
    /// An entry's bytes are not those that were written.
    Mangled {
        /// Its position.
        position: u64,
    },
    /// An entry that nobody tried to append, or that the store had refused.
    Phantom {
        /// The id that its payload begins with.
        id: u64,
        /// Its position.
        position: u64,
    },
    /// An entry that an earlier recovery had not shown came back.
    Resurrected {
        /// The attempt.
        id: u64,
        /// Its position.
        position: u64,
    },
    /// One attempt, two entries.
    Duplicate {
        /// The attempt.
        id: u64,
        /// The second position.
        position: u64,
    },
    /// An entry stands before one that had been acknowledged before it was tried.
    OutOfOrder {
        /// The attempt.
        id: u64,
        /// Its position.
        position: u64,
        /// It began after this position had been acknowledged.
        after: u64,
    },
    /// Recovering a second time gave something else.
    NotIdempotent {
        /// What differs.
        detail: String,
    },
    /// The store did not open, crashed, hung, or stopped by itself.
    Broken {
        /// What was being done.
        stage: String,
        /// What it said.
        detail: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { after, found } => {
                write!(f, "hole: after position {after} comes position {found}")
            }
            Self::LostBeginning { expected, found } => write!(
                f,
                "lost: the log begins at position {found}, though everything from {expected} on must survive"
            ),
            Self::LostAck { id, position } => {
                write!(
                    f,
                    "lost: entry {id:#x} was acknowledged at position {position} and is gone"
                )
            }
            Self::WrongAck {
                id,
                position,
                found,
            } => write!(
                f,
                "moved: entry {id:#x} was acknowledged at position {position}, where entry {found:#x} stands"
            ),
            Self::Unshown {
                id,
                position,
                found: None,
            } => {
                write!(
                    f,
                    "taken back: entry {id:#x} was shown at position {position} and is gone"
                )
            }
            Self::Unshown {
                id,
                position,
                found: Some(found),
            } => write!(
                f,
                "taken back: entry {id:#x} was shown at position {position}, where entry {found:#x} stands"
            ),
            Self::Mangled { position } => {
                write!(
                    f,
                    "mangled: the entry at position {position} is not what was written"
                )
            }
            Self::Phantom { id, position } => write!(
                f,
                "phantom: entry {id:#x} at position {position} was never tried, or had been refused"
            ),
            Self::Resurrected { id, position } => write!(
                f,
                "resurrected: entry {id:#x} at position {position} had been cut by an earlier recovery"
            ),
            Self::Duplicate { id, position } => {
                write!(
                    f,
                    "duplicate: entry {id:#x} stands at position {position} a second time"
                )
            }
            Self::OutOfOrder {
                id,
                position,
                after,
            } => write!(
                f,
                "out of order: entry {id:#x} at position {position} was tried after position {after} \
                 had been acknowledged"
            ),
            Self::NotIdempotent { detail } => {
                write!(
                    f,
                    "not idempotent: recovering again gave something else: {detail}"
                )
            }
            Self::Broken { stage, detail } => write!(f, "broken: {stage}: {detail}"),
        }
    }
}

/// The rules for a log: positions are consecutive numbers from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOracle {
    /// What the last recovery showed: ids from position `base` on.
    shown: Vec<u64>,
    base: u64,
    /// Everything below may be gone.
    trimmed: u64,
}

impl LogOracle {
    /// Position after the last entry that an earlier recovery showed.
    fn shown_end(&self) -> u64 {
        self.base + self.shown.len() as u64
    }

    /// Checks what one recovery shows after a generation with these events.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let trimmed = self.trimmed_after(events);
        check_run(survivors, trimmed)?;
        let base = survivors.first().map_or(trimmed, |first| first.position);
        let at = |position: u64| -> Option<u64> {
            let index = usize::try_from(position.checked_sub(base)?).ok()?;
            survivors.get(index).map(|survivor| survivor.id)
        };
        self.check_shown(events, trimmed, at)?;
        check_acks(events, trimmed, at)?;
        self.check_tail(events, survivors)
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
            if found != Some(id) && (position >= trimmed || found.is_some()) {
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
                Event::Attempt { id } => drop(floors.insert(*id, floor)),
                Event::Ack { position, .. } => floor = floor.max(position + 1),
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

    fn trimmed_after(&self, events: &[Event]) -> u64 {
        let trims = events.iter().filter_map(|event| match event {
            Event::TrimBegin { below } => Some(*below),
            _ => None,
        });
        trims.fold(self.trimmed, u64::max)
    }

    /// Moves on to the next generation: what this recovery showed may never be lost.
    pub fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.trimmed = self.trimmed_after(events);
        self.base = survivors
            .first()
            .map_or(self.shown_end().max(self.trimmed), |s| s.position);
        self.shown = survivors.iter().map(|survivor| survivor.id).collect();
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
        .find(|p| p[1].position != p[0].position + 1)
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
    trimmed: u64,
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
            None if position >= trimmed => return Err(Violation::LostAck { id, position }),
            _ => {}
        }
    }
    Ok(())
}

fn newest_generation(events: &[Event]) -> u32 {
    let generations = events.iter().filter_map(|event| match event {
        Event::Attempt { id } => Some(generation_of(*id)),
        _ => None,
    });
    generations.max().unwrap_or(u32::MAX)
}
