//! Live progress and the verdict table, for people.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};

use super::row::{Row, SavedFailure};
use super::verdict::{Closing, Verdict, unavailable};
use crate::campaign::Observer;
use crate::crash::CrashKind;
use crate::plan::Budget;
use crate::tally::Tally;

/// Elsewhere than on a terminal, a line of progress each so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Reports to people: a bar on a terminal, plain lines elsewhere, all on standard error; the table
/// goes to standard output.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    title: String,
    budget: Option<Budget>,
    next_line: Duration,
}

/// The command that checks a failure again.
pub(crate) fn replay_command(failure: &SavedFailure) -> String {
    let binary = std::env::current_exe().ok();
    let binary = binary
        .as_deref()
        .and_then(|path| path.to_str())
        .unwrap_or("torture");
    format!(
        "check it again: {binary} replay {}",
        failure.folder.display()
    )
}

impl Terminal {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The verdict table and the last word.
    pub(crate) fn summary(rows: &[Row], closing: &Closing) {
        println!("{}", table(rows));
        if rows.iter().any(|row| row.tally.classes.len() > 1) {
            println!("{}", classes(rows));
        }
        for failure in rows.iter().flat_map(|row| &row.failures) {
            println!("\n{}\n  {}", failure.violation, replay_command(failure));
        }
        for (kind, why) in unavailable(rows) {
            println!("{kind} is unavailable: {why}");
        }
        for row in rows.iter().filter(|row| row.tally.calibrations > 0) {
            let Tally {
                calls,
                calibrations,
                miscalibrated,
                ..
            } = &row.tally;
            println!(
                "{}, {}: every boundary of {calls} system calls; {calibrations} real kills compared \
                 with the copies, {miscalibrated} differ.",
                row.subject, row.crash,
            );
        }
        for row in rows.iter().filter(|row| row.crash.is_simulated()) {
            if let Some(told) = simulated(row) {
                println!("{told}");
            }
        }
        for row in rows
            .iter()
            .filter(|row| row.tally.spent_us.contains_key("mount"))
        {
            println!("{}", where_time_went(row));
        }
        for row in rows.iter().filter(|row| row.strays > 0) {
            println!(
                "{}, {}: {} processes were left running outside their process group, and killed.",
                row.subject, row.crash, row.strays
            );
        }
        if closing.interrupted {
            println!("Interrupted: this is what had been found so far.");
        }
        println!(
            "{} (seed {}{})",
            match Verdict::of(rows) {
                Verdict::Pass => "No promise was broken.",
                Verdict::Violation => "PROMISES WERE BROKEN.",
                Verdict::Vacuous =>
                    "Nothing was shown: no acknowledgement, no crash in the middle of work, or copies \
                     that are not what a kill leaves.",
            },
            closing.seed,
            match closing.shard {
                shard if shard.is_whole() => String::new(),
                shard => format!(", shard {shard}"),
            },
        );
    }
}

/// What a row on the simulated file system did beside what the table says.
fn simulated(row: &Row) -> Option<String> {
    let Tally {
        moments,
        moments_exhausted,
        recoveries_crashed,
        faults,
        detected,
        unprovable,
        ..
    } = &row.tally;
    let what = match row.crash {
        CrashKind::Rot => format!(
            "{detected} damaged states refused; {unprovable} lost entries that nothing left on the disk \
             vouched for"
        ),
        _ if *moments == 0 => return None,
        _ => format!(
            "power cut at {moments} moments, at {moments_exhausted} of them with every outcome; in or \
             after {recoveries_crashed} recoveries; {faults} errors of the disk"
        ),
    };
    Some(format!("{}, {}: {what}.", row.subject, row.crash))
}

/// What a crash state costs on a real file system.
fn where_time_went(row: &Row) -> String {
    let Tally {
        crash_states,
        unmountable,
        faults,
        spent_us,
        ..
    } = &row.tally;
    let each = |time: &u64| *time as f64 / 1000.0 / (*crash_states).max(1) as f64;
    let spent: Vec<String> = spent_us
        .iter()
        .map(|(what, time)| format!("{what} {:.2}", each(time)))
        .collect();
    format!(
        "{}, {}: milliseconds a state: {}. {unmountable} states not mounted by the kernel, {faults} \
         requests failed.",
        row.subject,
        row.case(),
        spent.join(", "),
    )
}

impl Observer for Terminal {
    fn begin(&self, subject: &str, crash: CrashKind, budget: Budget) {
        let mut state = self.state();
        state.title = format!("{subject} · {crash}");
        state.next_line = LINE_EVERY;
        state.budget = Some(budget);
        if !std::io::stderr().is_terminal() {
            eprintln!("{}: begins", state.title);
            return;
        }
        let length = match budget {
            Budget::Rounds(rounds) => rounds,
            Budget::Duration(duration) => duration.as_secs(),
        };
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(state.title.clone());
        state.bar = Some(bar);
    }

    fn round(&self, total: &Tally, elapsed: Duration) {
        let mut state = self.state();
        let message = format!(
            "{} rounds, {} acked, {} violations, {:.0} rounds/s",
            total.rounds,
            total.acked,
            total.violations,
            total.rounds as f64 / elapsed.as_secs_f64(),
        );
        match &state.bar {
            Some(bar) => {
                bar.set_position(match state.budget {
                    Some(Budget::Duration(_)) => elapsed.as_secs(),
                    _ => total.rounds,
                });
                bar.set_message(message);
            }
            None if elapsed >= state.next_line => {
                eprintln!("{}: {message}", state.title);
                state.next_line = elapsed + LINE_EVERY;
            }
            None => {}
        }
    }

    fn failure(&self, failure: &SavedFailure) {
        let text = format!("{}\n  {}", failure.violation, replay_command(failure));
        match &self.state().bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    fn end(&self, _: &Row) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// What was broken, by class: how often, and how soon the first time.
fn classes(rows: &[Row]) -> Table {
    let mut table = Table::new();
    let header = [
        "subject",
        "crash",
        "what was broken",
        "times",
        "after states",
        "after s",
    ];
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for row in rows {
        for (class, times) in &row.tally.classes {
            let kept = row.failures.iter().find(|kept| kept.class == *class);
            table.add_row([
                row.subject.clone(),
                row.case(),
                class.clone(),
                times.to_string(),
                kept.map_or_else(String::new, |kept| kept.after_states.to_string()),
                kept.map_or_else(String::new, |kept| format!("{:.1}", kept.after_s)),
            ]);
        }
    }
    for column in 3..=5 {
        let column = table.column_mut(column).expect("the header has so many");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "subject",
        "crash",
        "rounds",
        "states",
        "mid-work",
        "attempts",
        "acked",
        "recovered",
        "states/s",
        "coverage",
        "verdict",
    ]);
    for row in rows {
        let tally = &row.tally;
        let verdict = match Verdict::of(std::slice::from_ref(row)) {
            _ if row.unavailable.is_some() => "unavailable".to_owned(),
            Verdict::Pass => "pass".to_owned(),
            Verdict::Violation => format!("{} VIOLATIONS", tally.violations),
            Verdict::Vacuous => "nothing shown".to_owned(),
        };
        table.add_row([
            row.subject.clone(),
            row.case(),
            tally.rounds.to_string(),
            tally.crash_states.to_string(),
            tally.killed_mid_work.to_string(),
            tally.attempts.to_string(),
            tally.acked.to_string(),
            tally.recovered.to_string(),
            format!("{:.0}", row.states_per_s),
            row.coverage.to_string(),
            verdict,
        ]);
    }
    for column in 2..=8 {
        let column = table.column_mut(column).expect("the header has so many");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
