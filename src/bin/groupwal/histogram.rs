//! How many groups have how many entries.

use serde::Serialize;

/// Groups by the number of their entries: none, one, two and three, four to seven, ...
pub(crate) struct Histogram {
    groups: [u64; 34],
}

#[derive(Serialize)]
pub(crate) struct Bucket {
    /// Entries in a group, at least and at most.
    pub(crate) entries_min: u64,
    pub(crate) entries_max: u64,
    pub(crate) groups: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { groups: [0; 34] }
    }

    pub(crate) fn add(&mut self, entries: u32) {
        let bucket = entries.checked_ilog2().map_or(0, |log| log as usize + 1);
        self.groups[bucket] += 1;
    }

    /// The buckets that are not empty.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let buckets = self.groups.iter().enumerate();
        buckets
            .filter(|(_, groups)| **groups > 0)
            .map(|(index, groups)| {
                let (min, max) = match index {
                    0 => (0, 0),
                    _ => (1 << (index - 1), (1 << index) - 1),
                };
                Bucket {
                    entries_min: min,
                    entries_max: max,
                    groups: *groups,
                }
            })
            .collect()
    }
}
