//! What had been promised and is not among what recovery shows.

use std::collections::{HashMap, HashSet};

use crate::history::Event;
use crate::survivor::Survivor;

/// A promise that recovery does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) id: u64,
    pub(super) position: Option<u64>,
    pub(super) since: Since,
}

/// What made it a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// A recovery before this life showed it.
    Recovered,
    /// A reader of the running store was shown it.
    Read,
    Acked,
}

/// An attempt of the failed life.
struct Attempt {
    /// Its number among the events.
    at: usize,
    id: u64,
    key: u64,
    is_delete: bool,
    is_acked: bool,
}

/// What earlier recoveries had shown, or this life had acknowledged, and is not there. Left out is what may
/// be gone: trimmed, overwritten, or deleted by an attempt that may have taken effect.
pub(super) fn missing(
    (earlier, trimmed): (&[Survivor], u64),
    events: &[Event],
    shown: &[Survivor],
) -> Vec<Missing> {
    let there: HashSet<u64> = shown.iter().map(|survivor| survivor.id).collect();
    let has_keys = Event::have_keys(events);
    let attempts = attempts(events);
    let number: HashMap<u64, usize> = attempts.iter().map(|it| (it.id, it.at)).collect();
    // By key, as they were attempted.
    let mut of_key: HashMap<u64, Vec<&Attempt>> = HashMap::new();
    for attempt in &attempts {
        of_key.entry(attempt.key).or_default().push(attempt);
    }
    let key_of: HashMap<u64, &Attempt> = attempts.iter().map(|it| (it.id, it)).collect();
    let trimmed = events.iter().fold(trimmed, |trimmed, event| match event {
        Event::TrimBegin { below } => trimmed.max(*below),
        _ => trimmed,
    });
    // Of a store with keys all of whose attempts were at key 0: it looks like a log.
    let taken: HashSet<u64> = shown
        .iter()
        .map(|survivor| survivor.position)
        .filter(|position| *position == 0)
        .collect();
    let before = earlier.iter().map(|survivor| Missing {
        id: survivor.id,
        position: Some(survivor.position),
        since: Since::Recovered,
    });
    let meanwhile = events.iter().filter_map(|event| match event {
        Event::Shown { id, position } => Some(Missing {
            id: *id,
            position: Some(*position),
            since: Since::Read,
        }),
        event => event.ack().map(|(id, position)| Missing {
            id,
            position,
            since: Since::Acked,
        }),
    });
    let may_be_gone = |promise: &Missing| {
        let attempt = key_of.get(&promise.id);
        if attempt.is_some_and(|attempt| attempt.is_delete) {
            return true;
        }
        if !has_keys {
            let position = promise.position;
            return position
                .is_some_and(|position| position < trimmed || taken.contains(&position));
        }
        let key = attempt.map(|attempt| attempt.key).or(promise.position);
        let of_key = key.and_then(|key| of_key.get(&key));
        let own = number.get(&promise.id);
        of_key.into_iter().flatten().any(|later| {
            let is_later = own.is_none_or(|own| later.at > *own);
            is_later && (later.is_acked || later.is_delete || there.contains(&later.id))
        })
    };
    let mut told = HashSet::new();
    before
        .chain(meanwhile)
        .filter(|promise| !there.contains(&promise.id) && !may_be_gone(promise))
        .filter(|promise| told.insert(promise.id))
        .collect()
}

/// The attempts that were not refused.
fn attempts(events: &[Event]) -> Vec<Attempt> {
    let mut acked = HashSet::new();
    let mut refused = HashSet::new();
    for event in events {
        match event {
            Event::Ack { id, .. } => drop(acked.insert(*id)),
            Event::Refused { id } => drop(refused.insert(*id)),
            _ => {}
        }
    }
    let attempts = events.iter().enumerate().filter_map(|(at, event)| {
        let (id, key, is_delete) = match *event {
            Event::Attempt { id, key } => (id, key, false),
            Event::AttemptDelete { id, key } => (id, key, true),
            _ => return None,
        };
        Some(Attempt {
            at,
            id,
            key,
            is_delete,
            is_acked: acked.contains(&id),
        })
    });
    attempts.filter(|it| !refused.contains(&it.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(earlier: &[(u64, u64)], events: &[Event], shown: &[(u64, u64)]) -> Vec<u64> {
        let survivors = |entries: &[(u64, u64)]| -> Vec<Survivor> {
            let survivor = |(position, id): &(u64, u64)| Survivor {
                position: *position,
                id: *id,
                intact: true,
            };
            entries.iter().map(survivor).collect()
        };
        let missing = missing((&survivors(earlier), 0), events, &survivors(shown));
        missing.iter().map(|missing| missing.id).collect()
    }

    fn put(id: u64, key: u64) -> Event {
        Event::Attempt { id, key }
    }

    fn ack(id: u64, position: u64) -> Event {
        Event::Ack { id, position }
    }

    #[test]
    fn of_a_log_everything_acknowledged_that_is_not_there_is_missing_but_what_was_trimmed() {
        let trim = Event::TrimBegin { below: 3 };
        let events = [put(7, 0), ack(7, 4), put(8, 0), ack(8, 5), put(9, 0)];
        assert_eq!(ids(&[(2, 1), (3, 2)], &events, &[(4, 7)]), [1, 2, 8]);
        let trimmed: Vec<Event> = events.into_iter().chain([trim]).collect();
        assert_eq!(ids(&[(2, 1), (3, 2)], &trimmed, &[(4, 7)]), [2, 8]);
    }

    #[test]
    fn a_key_that_was_written_again_or_may_be_deleted_misses_no_older_value() {
        let delete = |id, key| Event::AttemptDelete { id, key };
        // Overwritten and acknowledged; overwritten, and that is there; deleted, perhaps.
        let acked = [put(1, 5), ack(1, 5), put(2, 5), ack(2, 5)];
        assert_eq!(ids(&[(5, 0)], &acked, &[]), [2]);
        let tried = [put(1, 5), ack(1, 5), put(2, 5)];
        assert_eq!(ids(&[], &tried, &[]), [1]);
        assert_eq!(ids(&[], &tried, &[(5, 2)]), [0; 0]);
        let deleted = [put(1, 5), ack(1, 5), delete(2, 5)];
        assert_eq!(ids(&[(5, 0)], &deleted, &[]), [0; 0]);
        // Of another key.
        assert_eq!(ids(&[(6, 0)], &deleted, &[]), [0]);
        // A put that was refused overwrites nothing.
        let refused = [put(1, 5), ack(1, 5), put(2, 5), Event::Refused { id: 2 }];
        assert_eq!(ids(&[], &refused, &[]), [1]);
    }
}
