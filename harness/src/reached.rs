//! What crash states reached: the calls that they come right before, and what there is to recover from.
//!
//! Two crash states are of one *sort* if they come before the same call on a file of the same role, in a writer or
//! in a recovery, and if what is left asks for the same of the recovery. On the seam that is seen: the kinds of
//! operations that it does, in their order. Elsewhere it is the names that are left, by their roles, and which of
//! the files are empty.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::file_role::role_of;

/// Places that are told apart; those of a store that draws its names could be any number.
const PLACES_MAX: usize = 400;
/// Sorts that are told apart.
const SORTS_MAX: usize = 1 << 20;
/// The number of states of which the newest are.
const NEWEST: usize = 1000;

/// Of a state whose recovery breaks a promise.
pub(crate) const BROKEN: u64 = u64::MAX;

/// A call that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextCall {
    pub(crate) name: &'static str,
    /// Within the store's directory, if it is a call on one file that is known.
    pub(crate) path: Option<String>,
    /// It makes something durable.
    pub(crate) is_sync: bool,
}

/// Where a crash comes: before which call of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    told: Arc<str>,
    is_sync: bool,
}

impl Place {
    /// `None`: at the end of a run, or where no call is seen.
    pub(crate) fn of(process: Process, next: Option<&NextCall>) -> Self {
        let told = match next {
            None => format!("{process}: at rest"),
            Some(NextCall { name, path, .. }) => match path.as_deref().map(role_of) {
                None => format!("{process}: {name}"),
                Some(role) if role.is_empty() => format!("{process}: {name} ."),
                Some(role) => format!("{process}: {name} {role}"),
            },
        };
        Self {
            told: told.into(),
            is_sync: next.is_some_and(|next| next.is_sync),
        }
    }

    fn others() -> Self {
        Self {
            told: "others".into(),
            is_sync: false,
        }
    }
}

/// What a process does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Writer,
    Recovery,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writer => "writer",
            Self::Recovery => "recovery",
        })
    }
}

/// What a recovery finds, where it is not seen what it does: the names that are there, by their roles, and which of
/// the files are empty.
pub(crate) fn shape_of<'n>(names: impl IntoIterator<Item = (&'n str, bool)>) -> u64 {
    let mut roles: Vec<(String, bool)> = names
        .into_iter()
        .map(|(name, is_empty)| (role_of(name), is_empty))
        .collect();
    roles.sort();
    roles.dedup();
    let mut hasher = XxHash3_64::new();
    for (role, is_empty) in roles {
        hasher.write(role.as_bytes());
        hasher.write_u8(u8::from(is_empty));
    }
    hasher.finish()
}

/// What the crash states of a row reached.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Told", into = "Told")]
pub struct Reached {
    /// The number of states before each call.
    places: BTreeMap<Place, u64>,
    /// States that were counted here, in their order, until they are added to others.
    counted: Vec<Sort>,
    /// How many states there were of each sort.
    sorts: HashMap<Sort, u64>,
    /// Of the newest states, the oldest first: whether each was the first of its sort.
    newest: VecDeque<bool>,
}

/// Which states are the newest depends on how threads share the rounds: that makes no difference.
impl PartialEq for Reached {
    fn eq(&self, other: &Self) -> bool {
        (&self.places, &self.counted, &self.sorts) == (&other.places, &other.counted, &other.sorts)
    }
}

impl Eq for Reached {}

/// A place, and what there is to recover from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sort {
    place: u64,
    recovery: u64,
}

impl Reached {
    /// Counts a state.
    pub(crate) fn count(&mut self, place: &Place, recovery: u64) {
        self.count_place(place, 1);
        let mut hasher = XxHash3_64::new();
        hasher.write(place.told.as_bytes());
        self.counted.push(Sort {
            place: hasher.finish(),
            recovery,
        });
    }

    fn count_place(&mut self, place: &Place, states: u64) {
        if let Some(count) = self.places.get_mut(place) {
            *count += states;
            return;
        }
        let is_told = self.places.len() < PLACES_MAX;
        let place = is_told.then(|| place.clone());
        *self
            .places
            .entry(place.unwrap_or_else(Place::others))
            .or_default() += states;
    }

    /// Adds what a round or another row has reached, as states that come behind these.
    pub(crate) fn add(&mut self, other: &Self) {
        for (place, states) in &other.places {
            self.count_place(place, *states);
        }
        for (sort, states) in &other.sorts {
            *self.sorts.entry(*sort).or_default() += states;
        }
        for is_first in &other.newest {
            self.note_newest(*is_first);
        }
        for sort in std::mem::take(&mut self.counted)
            .iter()
            .chain(&other.counted)
        {
            self.sort_out(*sort);
        }
    }

    fn sort_out(&mut self, sort: Sort) {
        let is_known = self.sorts.contains_key(&sort);
        self.note_newest(!is_known);
        if is_known || self.sorts.len() < SORTS_MAX {
            *self.sorts.entry(sort).or_default() += 1;
        }
    }

    fn note_newest(&mut self, is_first_of_its_sort: bool) {
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(is_first_of_its_sort);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The calls that crash states come right before, such as `writer: fdatasync N.log`, with the number of states
    /// of each.
    pub fn calls(&self) -> impl Iterator<Item = (&str, u64)> {
        self.places
            .iter()
            .map(|(place, states)| (&*place.told, *states))
    }

    /// Those of the calls that are syncs.
    pub fn syncs(&self) -> impl Iterator<Item = (&str, u64)> {
        let syncs = self.places.iter().filter(|(place, _)| place.is_sync);
        syncs.map(|(place, states)| (&*place.told, *states))
    }

    /// The number of different things that there were to recover from.
    pub fn recoveries(&self) -> usize {
        let recoveries: HashSet<u64> = self.sorts.keys().map(|sort| sort.recovery).collect();
        recoveries.len()
    }

    /// The number of sorts of states.
    pub fn sorts(&self) -> usize {
        self.sorts.len()
    }

    /// The number of sorts of which there were so many states.
    pub fn sorts_met(&self, times: u64) -> usize {
        self.sorts.values().filter(|count| **count == times).count()
    }

    /// How many of the newest states, a thousand at the most, were the first of their sort; and the number of these
    /// states.
    pub fn newest(&self) -> (usize, usize) {
        let first = self.newest.iter().filter(|is_first| **is_first);
        (first.count(), self.newest.len())
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = Told::from(self.clone());
        write!(f, "Reached({})", serde_json::json!(told))
    }
}

/// The same in a report. What is told of sorts is no more than numbers: those of two reports cannot be added.
#[derive(Serialize, Deserialize)]
struct Told {
    /// The number of states before each call that is a sync, and before each other one.
    syncs: BTreeMap<String, u64>,
    others: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sorts: Option<Sorts>,
}

#[derive(Serialize, Deserialize)]
struct Sorts {
    recoveries: usize,
    states: usize,
    /// Of which there was one state, or two.
    met_once: usize,
    met_twice: usize,
    /// Which states are the newest depends on how threads share the rounds; all else does not.
    newest: Newest,
}

#[derive(Serialize, Deserialize)]
struct Newest {
    states: usize,
    first_of_sort: usize,
}

impl From<Reached> for Told {
    fn from(reached: Reached) -> Self {
        // What was counted and not added to anything is sorted out here.
        let mut sorted = Reached::default();
        sorted.add(&reached);
        let of = |is_sync| {
            let places = sorted.places.iter();
            let places = places.filter(move |(place, _)| place.is_sync == is_sync);
            places
                .map(|(place, states)| (place.told.to_string(), *states))
                .collect()
        };
        let (first_of_sort, states) = sorted.newest();
        let sorts = Sorts {
            recoveries: sorted.recoveries(),
            states: sorted.sorts(),
            met_once: sorted.sorts_met(1),
            met_twice: sorted.sorts_met(2),
            newest: Newest {
                states,
                first_of_sort,
            },
        };
        Self {
            syncs: of(true),
            others: of(false),
            sorts: (sorts.states > 0).then_some(sorts),
        }
    }
}

impl From<Told> for Reached {
    fn from(told: Told) -> Self {
        let place = |is_sync| {
            move |(told, states): (String, u64)| {
                let told = told.into();
                (Place { told, is_sync }, states)
            }
        };
        let syncs = told.syncs.into_iter().map(place(true));
        let others = told.others.into_iter().map(place(false));
        Self {
            places: syncs.chain(others).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &'static str, path: &str) -> Place {
        let next = NextCall {
            name,
            path: Some(path.to_owned()),
            is_sync: name == "fsync",
        };
        Place::of(Process::Writer, Some(&next))
    }

    #[test]
    fn a_call_is_told_with_the_role_of_its_file() {
        for (path, told) in [
            ("000012.log", "writer: fsync N.log"),
            ("", "writer: fsync ."),
        ] {
            assert_eq!(&*place("fsync", path).told, told);
        }
        assert_eq!(
            &*Place::of(Process::Recovery, None).told,
            "recovery: at rest"
        );
    }

    #[test]
    fn the_first_states_of_their_sorts_are_new() {
        let mut round = Reached::default();
        round.count(&place("fsync", "1.log"), 7);
        round.count(&place("fsync", "2.log"), 7);
        round.count(&place("write", "2.log"), 7);
        round.count(&place("write", "2.log"), 8);
        let mut row = Reached::default();
        row.add(&round);
        assert_eq!((row.sorts(), row.sorts_met(1), row.sorts_met(2)), (3, 2, 1));
        assert_eq!((row.recoveries(), row.newest()), (2, (3, 4)));
        row.add(&round);
        assert_eq!((row.sorts(), row.newest()), (3, (3, 8)));
        assert_eq!(
            row.syncs().collect::<Vec<_>>(),
            [("writer: fsync N.log", 4)]
        );
    }

    #[test]
    fn only_the_newest_thousand_states_count() {
        let mut round = Reached::default();
        for recovery in 0..10 {
            round.count(&place("write", "log"), recovery);
        }
        for _ in 0..995 {
            round.count(&place("write", "log"), 0);
        }
        let mut row = Reached::default();
        row.add(&round);
        assert_eq!(row.newest(), (5, NEWEST));
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut round = Reached::default();
        for number in 0..=PLACES_MAX {
            let letters = "abcdefghij".repeat(number + 1);
            round.count(&place("write", &letters), 0);
        }
        assert_eq!(round.places.len(), PLACES_MAX + 1);
        round.count(&place("write", "one more"), 0);
        assert_eq!(round.places.len(), PLACES_MAX + 1);
        assert_eq!(round.places[&Place::others()], 2);
    }

    #[test]
    fn a_report_keeps_the_calls() {
        let mut round = Reached::default();
        round.count(&place("fsync", "1.log"), 7);
        round.count(&place("write", "1.log"), 8);
        let json = serde_json::to_value(&round).expect("plain data");
        assert_eq!(json["syncs"]["writer: fsync N.log"], 1);
        assert_eq!(json["sorts"]["newest"]["first_of_sort"], 2);
        let read: Reached = serde_json::from_value(json).expect("as it was written");
        assert_eq!(read.places, round.places);
    }

    #[test]
    fn the_shape_of_a_directory_is_of_roles_and_empty_files() {
        let shape = shape_of([("1.log", false), ("2.log", false), ("lock", true)]);
        assert_eq!(shape, shape_of([("lock", true), ("3.log", false)]));
        assert_ne!(shape, shape_of([("lock", true), ("3.log", true)]));
        assert_ne!(shape, shape_of([("3.log", false)]));
    }
}
