//! The kill matrix: a row each mutant, a column each catcher.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::patch::Mutant;
use super::result::{CONTROL, Cell, Outcome};
use super::suite::Mutants;

/// Nobody asked.
const NOT_TRIED: &str = "·";

/// The catchers that were asked, in their order.
fn columns<'a>(suite: &'a Mutants, outcome: &Outcome) -> Vec<&'a str> {
    let asked = |name: &&str| outcome.cells.iter().any(|cell| cell.catcher == *name);
    let names = suite.catchers.iter().map(|catcher| catcher.name.as_str());
    names.filter(asked).collect()
}

/// Rows in the order of the cells.
fn rows(outcome: &Outcome) -> Vec<&str> {
    let mut rows: Vec<&str> = Vec::new();
    for cell in &outcome.cells {
        if rows.last() != Some(&cell.mutant.as_str()) {
            rows.push(&cell.mutant);
        }
    }
    rows
}

/// A cell may hold several answers: one for each argument.
fn shown(outcome: &Outcome, row: &str, catcher: &str) -> String {
    let cells = outcome
        .cells
        .iter()
        .filter(|cell| cell.mutant == row && cell.catcher == catcher);
    let mut shown: Vec<String> = cells.map(Cell::shown).collect();
    shown.dedup();
    if shown.is_empty() {
        NOT_TRIED.to_owned()
    } else {
        shown.join("; ")
    }
}

pub(super) fn table(suite: &Mutants, outcome: &Outcome) -> Table {
    let columns = columns(suite, outcome);
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once("mutant").chain(columns.iter().copied()));
    for row in rows(outcome) {
        let cells = columns.iter().map(|column| shown(outcome, row, column));
        table.add_row(std::iter::once(row.to_owned()).chain(cells));
    }
    table
}

/// The same as a page of a book: the matrix, what each mutant is, and what its header says of those
/// who miss it.
pub(super) fn markdown(
    suite: &Mutants,
    mutants: &[Mutant],
    outcome: &Outcome,
    command: &str,
) -> String {
    let mut page = String::new();
    let columns = columns(suite, outcome);
    let told = "writing to a String does not fail";
    writeln!(
        page,
        "# The kill matrix\n\nWritten by `{command}`. Do not edit.\n"
    )
    .expect(told);
    let caught = outcome.median_and_worst();
    let tried = rows(outcome)
        .into_iter()
        .filter(|row| *row != CONTROL)
        .count();
    let wrong = outcome.wrong().count();
    write!(page, "{tried} known bugs, each put back alone. ").expect(told);
    match wrong {
        0 => write!(page, "Each catcher that must catch one has caught it.").expect(told),
        _ => write!(page, "**{wrong} answers are wrong.**").expect(told),
    }
    if let Some((median, worst)) = caught {
        write!(
            page,
            " Time to the first catch: median {median:.1} s, worst {worst:.1} s."
        )
        .expect(told);
    }
    page.push_str(
        "\n\nA number is a catch: how many crash states had been looked at by then, and for how long. \
         *-* is a miss that no header promised to be a catch, `·` was not tried. `unchanged` is the \
         tree as it is.\n\n| mutant |",
    );
    for column in &columns {
        write!(page, " {column} |").expect(told);
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(columns.len()));
    page.push('\n');
    for row in rows(outcome) {
        write!(page, "| {row} |").expect(told);
        for column in &columns {
            write!(page, " {} |", shown(outcome, row, column)).expect(told);
        }
        page.push('\n');
    }
    only_by(&mut page, outcome, &columns);
    page.push_str("\n## The mutants\n");
    for mutant in mutants {
        let caught_by: Vec<String> = mutant
            .caught_by
            .iter()
            .map(|it| format!("`{it}`"))
            .collect();
        let (name, title) = (&mutant.name, &mutant.title);
        writeln!(page, "\n### {name}: {title}\n\n{}\n", mutant.story).expect(told);
        writeln!(page, "- Hazard: {}", mutant.hazards.join("; ")).expect(told);
        writeln!(page, "- Must be caught by {}", caught_by.join(", ")).expect(told);
        for miss in &mutant.missed_by {
            writeln!(
                page,
                "- Missed by {}: {}",
                miss.catchers.join(", "),
                miss.why
            )
            .expect(told);
        }
    }
    page
}

/// Which mutants a single catcher has caught, where all were asked.
fn only_by(page: &mut String, outcome: &Outcome, columns: &[&str]) {
    use super::result::Verdict::{Caught, Missed, NothingShown};
    let told = "writing to a String does not fail";
    let mut lines = String::new();
    for column in columns {
        let alone: Vec<&str> = rows(outcome)
            .into_iter()
            .filter(|row| {
                let of = |catcher: &str| {
                    let cells = outcome.cells.iter();
                    let mut cells =
                        cells.filter(move |cell| cell.mutant == *row && cell.catcher == catcher);
                    cells.next().map(|first| {
                        std::iter::once(first)
                            .chain(cells)
                            .map(|cell| cell.verdict)
                            .collect::<Vec<_>>()
                    })
                };
                columns.iter().all(|other| {
                    of(other).is_some_and(|verdicts| {
                        if other == column {
                            verdicts.contains(&Caught)
                        } else {
                            verdicts
                                .iter()
                                .all(|it| matches!(it, Missed | NothingShown))
                        }
                    })
                })
            })
            .collect();
        if !alone.is_empty() {
            writeln!(lines, "- `{column}`: {}", alone.join(", ")).expect(told);
        }
    }
    if !lines.is_empty() {
        write!(page, "\n## Caught by one of them alone\n\n{lines}").expect(told);
    }
}
