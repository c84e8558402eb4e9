//! What a recovery shows.

use crate::workload::{Workload, generation_of, id_of};

/// One entry that survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Where the store says it is; the key, in a key-value store.
    pub position: u64,
    /// The attempt it comes from, by the id in its payload.
    pub id: u64,
    /// Every byte is as it was written.
    pub intact: bool,
}

impl Survivor {
    /// Not an entry: stands behind the entries of a store that says that it was closed in order.
    pub const CLOSED: Self = Self {
        position: u64::MAX,
        id: u64::MAX,
        intact: true,
    };

    /// The entries, and whether the store says that it was closed in order.
    pub fn entries(survivors: &[Self]) -> (&[Self], bool) {
        match survivors.split_last() {
            Some((&Self::CLOSED, entries)) => (entries, true),
            _ => (survivors, false),
        }
    }

    /// Three words each, as they travel from a recovering process to the harness.
    pub(crate) fn encode_all(survivors: &[Self]) -> Vec<u8> {
        let words = |s: &Self| [s.position, s.id, u64::from(s.intact)];
        survivors
            .iter()
            .flat_map(words)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    pub(crate) fn decode_all(bytes: &[u8]) -> Vec<Self> {
        let words: Vec<u64> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        let survivors = words.as_chunks::<3>().0.iter();
        survivors
            .map(|[position, id, intact]| Self {
                position: *position,
                id: *id,
                intact: *intact == 1,
            })
            .collect()
    }
}

/// Collects the surviving entries.
#[derive(Debug)]
pub struct Survivors<'a> {
    workloads: &'a [Workload],
    pub(crate) entries: Vec<Survivor>,
}

impl<'a> Survivors<'a> {
    /// `workloads` of all generations so far, by which payloads are checked.
    pub(crate) fn new(workloads: &'a [Workload]) -> Self {
        Self {
            workloads,
            entries: Vec::new(),
        }
    }

    /// Reports the next entry, with its position or its key. Its payload is checked byte for byte.
    pub fn push(&mut self, position: u64, payload: &[u8]) {
        let id = id_of(payload).unwrap_or(u64::MAX);
        let generation = generation_of(id);
        let workload = self
            .workloads
            .iter()
            .find(|workload| workload.generation == generation);
        let intact = workload.is_some_and(|workload| workload.payload(id) == payload);
        self.entries.push(Survivor {
            position,
            id,
            intact,
        });
    }

    /// Reports, after the last entry, that the store was closed in order: [`Recorder::closed`] announces
    /// that it will be. An [`Oracle`] of your own is given [`Survivor::CLOSED`] then.
    ///
    /// [`Recorder::closed`]: crate::Recorder::closed
    /// [`Oracle`]: crate::oracle::Oracle
    pub fn closed(&mut self) {
        self.entries.push(Survivor::CLOSED);
    }
}
