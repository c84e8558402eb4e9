//! The torture binary: this repository's own subjects under plugpull. See `cargo torture --help`.

mod groupwal;
#[cfg(feature = "neighbours")]
mod neighbours;

use std::process::ExitCode;
use std::time::Duration;

use ::groupwal::SyncPolicy;
use plugpull::Subject;

use crate::groupwal::GroupWal;

fn main() -> ExitCode {
    // Intervals so small that a writer that lives for milliseconds gets acknowledgements.
    let background = SyncPolicy::Background {
        interval: Duration::from_millis(5),
    };
    let batch = SyncPolicy::Batch {
        max_entries: 32,
        max_delay: Duration::from_millis(2),
    };
    let subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(GroupWal::new("groupwal", SyncPolicy::Adaptive)),
        Box::new(GroupWal::new(
            "groupwal/every-write",
            SyncPolicy::EveryWrite,
        )),
        Box::new(GroupWal::new("groupwal/background", background)),
        Box::new(GroupWal::new("groupwal/batch", batch)),
        #[cfg(feature = "neighbours")]
        Box::new(neighbours::Redb),
        #[cfg(feature = "neighbours")]
        Box::new(neighbours::Sqlite),
    ];
    plugpull::cli::main(&subjects)
}
