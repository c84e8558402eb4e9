//! One report of those of all shards of a torture.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::row::Row;
use crate::shard::Shard;

/// What all shards did together.
pub(crate) struct Merged {
    pub(crate) rows: Vec<Row>,
    pub(crate) seed: u64,
}

/// The part of a report's last line that says whether reports belong together.
#[derive(Debug, Deserialize)]
struct Summary {
    seed: u64,
    shard: Shard,
    interrupted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Summary { summary: Summary },
    Row(Box<Row>),
}

/// What one shard printed.
struct Report {
    path: PathBuf,
    rows: Vec<Row>,
    summary: Summary,
}

impl Report {
    fn read(path: &Path) -> Result<Self, String> {
        let at = |what: String| format!("{}: {what}", path.display());
        let text = fs::read_to_string(path).map_err(|error| at(format!("cannot read: {error}")))?;
        let mut rows = Vec::new();
        let mut summary = None;
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if summary.is_some() {
                return Err(at(format!(
                    "line {number} stands behind the summary: is this more than one report?"
                )));
            }
            match serde_json::from_str(line) {
                Ok(Line::Row(row)) => rows.push(*row),
                Ok(Line::Summary { summary: last }) => summary = Some(last),
                Err(error) => {
                    return Err(at(format!(
                        "line {number} is not of a report, as `run --json` prints it: {error}"
                    )));
                }
            }
        }
        let summary = summary.ok_or_else(|| {
            at("it has no summary: the shard did not come to its end. Run it again".into())
        })?;
        if summary.interrupted {
            return Err(at("the shard was interrupted. Run it again".into()));
        }
        Ok(Self {
            path: path.to_owned(),
            rows,
            summary,
        })
    }
}

impl Merged {
    /// Reads the reports of all shards and adds them up.
    ///
    /// # Errors
    /// If they are not the reports of all shards of one torture, each of them once and whole.
    pub(crate) fn of(paths: &[PathBuf]) -> Result<Self, String> {
        let reports: Vec<Report> = paths
            .iter()
            .map(|path| Report::read(path))
            .collect::<Result<_, _>>()?;
        let (first, others) = reports.split_first().ok_or("there is no report to merge")?;
        belong_together(&reports)?;
        let mut rows = first.rows.clone();
        for report in others {
            if report.rows.len() != rows.len() {
                return Err(differ(first, report, "has other rows"));
            }
            for (row, more) in rows.iter_mut().zip(&report.rows) {
                if (&row.subject, row.case()) != (&more.subject, more.case()) {
                    return Err(differ(first, report, "has other rows"));
                }
                if row.unavailable.is_some() != more.unavailable.is_some() {
                    let what = format!(
                        "{}, {}, is unavailable in one of them: its rounds there are missing",
                        row.subject,
                        row.case()
                    );
                    return Err(differ(first, report, &what));
                }
                add(row, more);
            }
        }
        Ok(Self {
            rows,
            seed: first.summary.seed,
        })
    }
}

/// One seed, and each shard once.
fn belong_together(reports: &[Report]) -> Result<(), String> {
    let first = &reports[0];
    let Summary { seed, shard, .. } = first.summary;
    let mut there = BTreeSet::new();
    for report in reports {
        if report.summary.seed != seed {
            return Err(differ(first, report, "has another seed"));
        }
        if report.summary.shard.count() != shard.count() {
            return Err(differ(first, report, "is of another number of shards"));
        }
        if !there.insert(report.summary.shard.number(0)) {
            return Err(format!(
                "{}: shard {} is there twice",
                report.path.display(),
                report.summary.shard
            ));
        }
    }
    let missing: Vec<String> = (0..shard.count())
        .filter(|number| !there.contains(number))
        .map(|number| format!("{}/{}", number + 1, shard.count()))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("reports are missing: shard {}", missing.join(", ")))
    }
}

fn differ(first: &Report, other: &Report, what: &str) -> String {
    format!(
        "{} and {} are not shards of one torture: the second {what}",
        first.path.display(),
        other.path.display()
    )
}

/// Adds what another shard did. The shards are taken to have run at the same time.
fn add(row: &mut Row, more: &Row) {
    row.tally.add(&more.tally);
    row.elapsed_s = row.elapsed_s.max(more.elapsed_s);
    row.rounds_per_s += more.rounds_per_s;
    row.states_per_s += more.states_per_s;
    row.strays += more.strays;
    row.failures.extend_from_slice(&more.failures);
    row.cut_short |= more.cut_short;
    row.error = match (row.error.take(), &more.error) {
        (Some(error), Some(other)) if error != *other => Some(format!("{error}; {other}")),
        (error, other) => error.or_else(|| other.clone()),
    };
}
