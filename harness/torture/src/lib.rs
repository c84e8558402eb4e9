//! This repository's own subjects: groupwal under each policy, and other people's stores.

#[cfg(feature = "collection")]
mod collection;
mod groupwal;
#[cfg(feature = "neighbours")]
mod neighbours;
mod simulated;

use std::time::Duration;

use ::groupwal::SyncPolicy;
use plugpull::Subject;

#[cfg(feature = "collection")]
pub use crate::collection::{CollectionOracle, VectorCollection};
pub use crate::groupwal::GroupWal;

/// All of them.
pub fn subjects() -> Vec<Box<dyn Subject>> {
    // Intervals so small that a writer that lives for milliseconds gets acknowledgements.
    let background = SyncPolicy::Background {
        interval: Duration::from_millis(5),
    };
    let batch = SyncPolicy::Batch {
        max_entries: 32,
        max_delay: Duration::from_millis(2),
    };
    vec![
        Box::new(GroupWal::new("groupwal", SyncPolicy::Adaptive)),
        Box::new(GroupWal::new(
            "groupwal/every-write",
            SyncPolicy::EveryWrite,
        )),
        Box::new(GroupWal::new("groupwal/background", background)),
        Box::new(GroupWal::new("groupwal/batch", batch)),
        #[cfg(feature = "collection")]
        Box::new(VectorCollection),
        #[cfg(feature = "neighbours")]
        Box::new(neighbours::Redb),
        #[cfg(feature = "neighbours")]
        Box::new(neighbours::Sqlite),
    ]
}
