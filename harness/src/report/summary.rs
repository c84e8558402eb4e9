//! The verdict table and the last word, as text for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::row::{Row, SavedFailure};
use super::verdict::{Closing, Verdict, cut_short, errors, unavailable};
use crate::prose;
use crate::tally::{Phase, Tally};

/// What is said at the end of a torture, on a terminal that is so wide.
pub(super) fn of(rows: &[Row], closing: &Closing, width: Option<u16>) -> String {
    let mut text = String::new();
    let told = |line: String| match width {
        Some(width) => prose::wrapped(&line, width.into()),
        None => line,
    };
    let table = verdicts(rows, width);
    writeln!(text, "{table}").expect("a string takes everything");
    if rows.iter().any(|row| row.tally.classes.len() > 1) {
        let table = fitted(classes(rows), width);
        writeln!(text, "{table}").expect("a string takes everything");
    }
    let mut line =
        |line: String| writeln!(text, "{}", told(line)).expect("a string takes everything");
    for failure in rows.iter().flat_map(|row| &row.failures) {
        line(format!("\n{}", failure.told()));
    }
    for (kind, why) in unavailable(rows) {
        line(format!("{kind} is unavailable: {why}"));
    }
    for sentence in SENTENCES {
        for row in rows {
            if let Some(told) = sentence(row) {
                line(format!("{}, {}: {told}.", row.subject, row.case()));
            }
        }
    }
    let mut told = BTreeSet::new();
    for (row, why) in errors(rows) {
        let why = if told.insert(why) { why } else { "the same" };
        line(format!("{row}: ENVIRONMENT: {why}"));
    }
    let cut_short = cut_short(rows);
    if !cut_short.is_empty() {
        line(format!("Cut short: {}.", cut_short.join("; ")));
    }
    if !closing.not_run.is_empty() {
        line(format!("Not run: {}.", closing.not_run.join("; ")));
    }
    let is_interrupted = closing.interrupted(rows).is_some();
    let verdict = match Verdict::of(rows) {
        Verdict::Violation => "PROMISES WERE BROKEN.",
        Verdict::Environment => {
            "Not everything could be done, for reasons that are not the subject's. In what was done, no \
             promise was broken."
        }
        Verdict::Pass if is_interrupted => {
            "Interrupted before the end. In what was done, no promise was broken."
        }
        Verdict::Vacuous if is_interrupted => {
            "Interrupted before anything was shown. No promise was broken so far."
        }
        Verdict::Pass => "No promise was broken.",
        Verdict::Vacuous => {
            "Nothing was shown: no acknowledgement, no crash in the middle of work, or copies that \
             are not what a kill leaves. Writers that live too short to acknowledge anything get more with \
             --life and --lines, and under trace with --calls."
        }
    };
    let shard = match closing.shard {
        shard if shard.is_whole() => String::new(),
        shard => format!(", shard {shard}"),
    };
    line(format!("{verdict} (seed {}{shard})", closing.seed));
    text
}

/// A column of a table whose lines are `L`s.
struct Column<L> {
    header: &'static str,
    alignment: CellAlignment,
    cell: Box<dyn Fn(&L) -> String>,
}

impl<L> Column<L> {
    fn text(header: &'static str, cell: impl Fn(&L) -> String + 'static) -> Self {
        Self {
            header,
            alignment: CellAlignment::Left,
            cell: Box::new(cell),
        }
    }

    fn number(header: &'static str, cell: impl Fn(&L) -> String + 'static) -> Self {
        Self {
            alignment: CellAlignment::Right,
            ..Self::text(header, cell)
        }
    }
}

fn table<L>(columns: &[Column<L>], lines: &[L]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_header(columns.iter().map(|column| column.header));
    for line in lines {
        table.add_row(columns.iter().map(|column| (column.cell)(line)));
    }
    for (column, shown) in columns.iter().zip(table.column_iter_mut()) {
        shown.set_cell_alignment(column.alignment);
    }
    table
}

/// What a narrow terminal has no room for, the first to go first.
const DISPENSABLE: [&str; 7] = [
    "coverage",
    "recovered",
    "attempts",
    "mid-work",
    "states/s",
    "rounds",
    "acked",
];

/// The verdict table, with as many of its columns as there is room for.
fn verdicts(rows: &[Row], width: Option<u16>) -> Table {
    let mut columns = columns();
    let mut dispensable = DISPENSABLE.iter();
    loop {
        let table = table(&columns, rows);
        let has_room = width.is_none_or(|width| fits(&table, width));
        match dispensable.next() {
            Some(header) if !has_room => columns.retain(|column| column.header != *header),
            _ => return fitted(table, width),
        }
    }
}

fn fits(table: &Table, width: u16) -> bool {
    let mut lines = table.lines();
    lines.all(|line| line.chars().count() <= width.into())
}

/// Where it does not fit, its cells have several lines.
fn fitted(mut table: Table, width: Option<u16>) -> Table {
    if let Some(width) = width
        && !fits(&table, width)
    {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table
}

/// Of the verdict table, whose lines are rows.
fn columns() -> Vec<Column<Row>> {
    let mut columns = vec![
        Column::text("subject", |row: &Row| row.subject.clone()),
        Column::text("crash", Row::case),
    ];
    columns.extend(Tally::COLUMNS.iter().map(|counter| {
        Column::number(counter.header, |row: &Row| {
            (counter.of)(&row.tally).to_string()
        })
    }));
    columns.extend([
        Column::number("states/s", |row: &Row| format!("{:.0}", row.states_per_s)),
        Column::text("coverage", |row: &Row| row.coverage.to_string()),
        Column::text("verdict", verdict),
    ]);
    columns
}

fn verdict(row: &Row) -> String {
    match Verdict::of(std::slice::from_ref(row)) {
        _ if row.unavailable.is_some() => "unavailable".to_owned(),
        Verdict::Violation => format!("{} VIOLATIONS", row.tally.violations),
        Verdict::Environment => "environment".to_owned(),
        _ if row.cut_short => "cut short".to_owned(),
        Verdict::Pass => "pass".to_owned(),
        Verdict::Vacuous => "nothing shown".to_owned(),
    }
}

/// A class of failures in a row.
struct Class<'a> {
    row: &'a Row,
    name: &'a str,
    times: u64,
    /// The first failure of this class, which was saved.
    first: Option<&'a SavedFailure>,
}

impl<'a> Class<'a> {
    fn of(row: &'a Row) -> impl Iterator<Item = Self> {
        row.tally.classes.iter().map(move |(name, times)| Self {
            row,
            name,
            times: *times,
            first: row.failures.iter().find(|failure| failure.class == *name),
        })
    }
}

/// What was broken, by class: how often, and how soon the first time.
fn classes(rows: &[Row]) -> Table {
    type Of<'a> = Column<Class<'a>>;
    let lines: Vec<Class<'_>> = rows.iter().flat_map(Class::of).collect();
    let after = |of: fn(&SavedFailure) -> String| {
        move |line: &Class<'_>| line.first.map(of).unwrap_or_default()
    };
    let columns = [
        Of::text("subject", |line| line.row.subject.clone()),
        Of::text("crash", |line| line.row.case()),
        Of::text("what was broken", |line| line.name.to_owned()),
        Of::number("times", |line| line.times.to_string()),
        Of::number(
            "after states",
            after(|first| first.after_states.to_string()),
        ),
        Of::number("after s", after(|first| format!("{:.1}", first.after_s))),
    ];
    table(&columns, &lines)
}

/// What a row did besides what the table shows, if it did such a thing: a sentence each, without
/// subject and full stop.
const SENTENCES: [fn(&Row) -> Option<String>; 7] = [
    known,
    calibrations,
    power_cuts,
    reached,
    damage,
    where_time_went,
    strays,
];

fn known(row: &Row) -> Option<String> {
    let known = &row.tally.known;
    let times = known
        .iter()
        .map(|(class, times)| format!("'{class}', {times} times"));
    let times: Vec<String> = times.collect();
    (!times.is_empty()).then(|| format!("known failures, passed over: {}", times.join("; ")))
}

fn calibrations(row: &Row) -> Option<String> {
    let Tally {
        calls,
        calibrations,
        miscalibrated,
        ..
    } = &row.tally;
    (*calibrations > 0).then(|| {
        format!(
            "every boundary of {calls} system calls; {calibrations} real kills compared with the \
             copies, {miscalibrated} differ"
        )
    })
}

/// On the simulated file system.
fn power_cuts(row: &Row) -> Option<String> {
    let Tally {
        moments,
        moments_exhausted,
        recoveries_crashed,
        faults,
        ..
    } = &row.tally;
    (*moments > 0).then(|| {
        format!(
            "power cut at {moments} moments, at {moments_exhausted} of them with every outcome; in \
             or after {recoveries_crashed} recoveries; {faults} errors of the disk"
        )
    })
}

/// Which calls crashes came before, and whether the last of them showed anything new.
fn reached(row: &Row) -> Option<String> {
    let reached = &row.tally.reached;
    let (new, newest) = reached.newest();
    let syncs = reached.syncs().count();
    (newest > 0).then(|| {
        format!(
            "crashes before {} different calls, {syncs} of them syncs; {} different things to recover from; \
             of the last {newest} states, {new} were the first of their sort",
            reached.calls().count(),
            reached.recoveries(),
        )
    })
}

/// What came of damaged bytes.
fn damage(row: &Row) -> Option<String> {
    let Tally {
        detected,
        unprovable,
        ..
    } = &row.tally;
    (detected + unprovable > 0).then(|| {
        format!(
            "{detected} damaged states refused; {unprovable} lost entries that nothing left on the \
             disk vouched for"
        )
    })
}

/// What a crash state costs on a real file system.
fn where_time_went(row: &Row) -> Option<String> {
    let Tally {
        crash_states,
        unmountable,
        faults,
        spent_us,
        ..
    } = &row.tally;
    spent_us.get(Phase::Mount.name())?;
    let each = |time: &u64| *time as f64 / 1000.0 / (*crash_states).max(1) as f64;
    let spent: Vec<String> = spent_us
        .iter()
        .map(|(phase, time)| format!("{phase} {:.2}", each(time)))
        .collect();
    Some(format!(
        "milliseconds a state: {}. {unmountable} states not mounted by the kernel, {faults} requests \
         failed",
        spent.join(", "),
    ))
}

fn strays(row: &Row) -> Option<String> {
    let Row { strays, .. } = row;
    (*strays > 0).then(|| {
        format!("{strays} processes were left running outside their process group, and killed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash_kind::CrashKind;
    use crate::shard::Shard;

    fn rows() -> Vec<Row> {
        let violated = |class: &str, times| (class.to_owned(), times);
        CrashKind::UNPRIVILEGED
            .into_iter()
            .map(|crash| {
                let mut row = Row::nothing("a-store/with-a-long-name", crash, None, 1);
                row.tally.crash_states = 123_456_789;
                row.tally.acked = 1_234_567;
                row.tally.violations = 12_345;
                let class =
                    "recovery failed: a sentence that goes on for longer than a line of a terminal";
                row.tally.classes = [violated(class, 12_000), violated("lost", 345)].into();
                row
            })
            .collect()
    }

    fn told(width: Option<u16>) -> String {
        let closing = Closing {
            seed: 1,
            shard: Shard::WHOLE,
            not_run: Vec::new(),
            signal: None,
        };
        of(&rows(), &closing, width)
    }

    #[test]
    fn everything_fits_80_columns() {
        let narrow = told(Some(80));
        for line in narrow.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(narrow.contains("12345 VIOLATIONS"), "{narrow}");
        assert!(narrow.contains("sentence that"), "{narrow}");
        assert!(!narrow.contains("coverage"), "{narrow}");
    }

    #[test]
    fn where_there_is_room_every_column_is_shown() {
        for wide in [told(None), told(Some(200))] {
            let header = wide.lines().nth(1).expect("it has a header");
            for header_of in DISPENSABLE {
                assert!(header.contains(header_of), "{header}");
            }
        }
    }
}
