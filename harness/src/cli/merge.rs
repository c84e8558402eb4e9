//! `merge`: one report of those of all shards.

use std::path::PathBuf;

use super::reporter::reporter;
use crate::report::{Closing, Merged, Progress, Verdict};
use crate::shard::Shard;

pub(super) fn merge(reports: &[PathBuf], json: bool) -> Result<u8, String> {
    let Merged { rows, seed } = Merged::of(reports)?;
    let reporter = reporter(json);
    for row in &rows {
        reporter.report(&Progress::RowEnded(row));
    }
    let closing = Closing {
        seed,
        shard: Shard::WHOLE,
        signal: None,
        not_run: Vec::new(),
    };
    reporter.report(&Progress::RunEnded {
        rows: &rows,
        closing: &closing,
    });
    Ok(Verdict::of(&rows).exit_status())
}
