//! One JSON object a line on standard output: a row each, then the summary.

use std::time::Duration;

use serde_json::json;

use super::row::{Row, SavedFailure};
use super::verdict::{Closing, Verdict, unavailable};
use crate::campaign::Observer;
use crate::crash::CrashKind;
use crate::plan::Budget;
use crate::tally::Tally;

/// Reports to programs.
#[derive(Debug)]
pub(crate) struct Json;

impl Observer for Json {
    fn begin(&self, _: &str, _: CrashKind, _: Budget) {}
    fn round(&self, _: &Tally, _: Duration) {}

    fn failure(&self, failure: &SavedFailure) {
        eprintln!(
            "{}\n  {}",
            failure.violation,
            super::terminal::replay_command(failure)
        );
    }

    fn end(&self, row: &Row) {
        println!(
            "{}",
            serde_json::to_string(row).expect("a row has no odd keys")
        );
    }
}

impl Json {
    /// The last line.
    pub(crate) fn summary(rows: &[Row], closing: &Closing) {
        let mut total = Tally::default();
        for row in rows {
            total.add(&row.tally);
        }
        let elapsed_s: f64 = rows.iter().map(|row| row.elapsed_s).sum();
        let verdict = match Verdict::of(rows) {
            Verdict::Pass => "pass",
            Verdict::Violation => "violation",
            Verdict::Vacuous => "vacuous",
        };
        let summary = json!({ "summary": {
            "rows": rows.len(),
            "seed": closing.seed,
            "shard": closing.shard,
            "rounds": total.rounds,
            "crash_states": total.crash_states,
            "attempts": total.attempts,
            "acked": total.acked,
            "recovered": total.recovered,
            "violations": total.violations,
            "elapsed_s": elapsed_s,
            "rounds_per_s": if elapsed_s > 0.0 { total.rounds as f64 / elapsed_s } else { 0.0 },
            "states_per_s": if elapsed_s > 0.0 { total.crash_states as f64 / elapsed_s } else { 0.0 },
            "interrupted": closing.interrupted,
            "unavailable": unavailable(rows),
            "verdict": verdict,
        }});
        println!("{summary}");
    }
}
