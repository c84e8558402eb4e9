//! How large the log's files are, and the options that say so.

use std::sync::Arc;
use std::time::Duration;

use groupwal::{Options, SyncPolicy};

use crate::simulated::SoonHere;

/// A log of which two segments fit the disk, of either length, and three never do.
pub(super) struct Sizes {
    pub(super) block: u32,
    pub(super) segments: [u64; 2],
    pub(super) group: usize,
    pub(super) entry: usize,
    /// LOCK included.
    pub(super) disk: u64,
}

/// The first frame of a segment leaves its reserved blocks free, however large the group is.
pub(super) const REAL: Sizes = Sizes {
    block: 4096,
    segments: [48 << 10, 64 << 10],
    group: 32 << 10,
    entry: 8 << 10,
    disk: 140 << 10,
};
pub(super) const TINY: Sizes = Sizes {
    block: 512,
    segments: [4 << 10, 5 << 10],
    group: 2 << 10,
    entry: 1536,
    disk: 15 << 10,
};

/// Options that differ from one opening to the next.
pub(super) fn options(sizes: &Sizes, luck: u64) -> Options {
    let policy = match luck % 4 {
        0 | 1 => SyncPolicy::Adaptive,
        2 => SyncPolicy::EveryWrite,
        _ => SyncPolicy::Batch {
            max_entries: 8,
            max_delay: Duration::from_millis(1),
        },
    };
    Options::default()
        .policy(policy)
        .block_bytes(sizes.block)
        .entry_bytes_max(sizes.entry)
        .group_bytes_max(sizes.group)
        .segment_bytes(sizes.segments[0])
}

/// Blocking work on the simulation's only thread.
pub(super) fn simulated(options: Options) -> Options {
    options.executor(Arc::new(SoonHere::default()))
}
