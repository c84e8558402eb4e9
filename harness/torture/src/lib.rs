//! This repository's own subjects: groupwal under each policy, and the design that it began with. Other people's
//! stores are in `harness/neighbours`.

mod act;
mod acted;
mod article;
mod at_rest;
mod ballast;
mod batch;
mod doomed;
mod groupwal;
mod mutants;
mod quota;
mod sim_storage;
mod simulated;
mod untidy;

use std::time::Duration;

use ::groupwal::SyncPolicy;
use plugpull::Subject;

pub use crate::act::poll_at_most;
pub use crate::article::Article;
pub use crate::groupwal::GroupWal;
pub use crate::mutants::mutants;
pub use crate::sim_storage::SimStorage;
pub use crate::simulated::{SoonHere, draw, drive};
pub use crate::untidy::Untidy;

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
        Box::new(Untidy),
        Box::new(Article),
    ]
}
