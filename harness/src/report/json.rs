//! One JSON object a line on standard output: a row each, then the summary.

use serde_json::json;

use super::reporter::{Progress, Reporter};
use super::row::Row;
use super::verdict::{Closing, Verdict, cut_short, errors, unavailable};
use crate::tally::Tally;

/// Reports to programs; failures also to people, on standard error.
#[derive(Debug)]
pub(crate) struct Json;

impl Reporter for Json {
    fn report(&self, event: &Progress<'_>) {
        match event {
            Progress::RowBegan { .. } | Progress::RoundEnded { .. } => {}
            Progress::FailureSaved(failure) => eprintln!("{}", failure.told()),
            Progress::RowEnded(row) => println!(
                "{}",
                serde_json::to_string(row).expect("a row has no odd keys")
            ),
            Progress::RunEnded { rows, closing } => println!("{}", summary(rows, closing)),
        }
    }
}

/// The last line.
fn summary(rows: &[Row], closing: &Closing) -> serde_json::Value {
    let mut total = Tally::default();
    for row in rows {
        total.add(&row.tally);
    }
    let elapsed_s: f64 = rows.iter().map(|row| row.elapsed_s).sum();
    let interrupted = closing.interrupted(rows).is_some();
    let verdict = match Verdict::of(rows) {
        Verdict::Violation => "violation",
        Verdict::Environment => "environment",
        _ if interrupted => "interrupted",
        Verdict::Pass => "pass",
        Verdict::Vacuous => "vacuous",
    };
    json!({ "summary": {
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
        "interrupted": interrupted,
        "not_run": closing.not_run,
        "cut_short": cut_short(rows),
        "environment": errors(rows),
        "unavailable": unavailable(rows),
        "verdict": verdict,
    }})
}
