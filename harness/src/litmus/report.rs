//! What real file systems do beside what profiles allow, in words.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde::Serialize;

use super::bench::Seen;
use super::model::profile_of;
use super::program::Litmus;
use crate::disk::{FileSystem, FileSystemKind};
use crate::sim::Profile;

/// One program on one file system.
pub(super) struct Answer {
    pub(super) seen: Seen,
    /// By the profile that stands for the file system.
    pub(super) allowed: BTreeSet<String>,
    /// By `strict`, which stands for all of them.
    pub(super) strict: BTreeSet<String>,
}

impl Answer {
    /// How many crash states were looked at.
    pub(super) fn states(&self) -> u64 {
        self.seen.values().sum()
    }

    /// Seen, and not allowed.
    fn unexpected(&self, allowed: &BTreeSet<String>) -> Vec<&str> {
        let seen = self.seen.keys().map(String::as_str);
        seen.filter(|outcome| !allowed.contains(*outcome)).collect()
    }

    /// Allowed, and not seen.
    fn unseen(&self) -> Vec<&str> {
        let allowed = self.allowed.iter().map(String::as_str);
        allowed
            .filter(|outcome| !self.seen.contains_key(*outcome))
            .collect()
    }

    fn is_wrong(&self) -> bool {
        !self.unexpected(&self.allowed).is_empty() || !self.unexpected(&self.strict).is_empty()
    }
}

/// All programs on one file system.
pub(super) struct Column {
    pub(super) file_system: FileSystem,
    /// In the order of the programs; or why there are none.
    pub(super) answers: Result<Vec<Answer>, String>,
}

impl Column {
    /// A profile allows less than reality.
    pub(super) fn is_wrong(&self) -> bool {
        let mut answers = self.answers.iter().flatten();
        answers.any(Answer::is_wrong)
    }

    fn kind(&self) -> FileSystemKind {
        self.file_system.kind
    }
}

#[derive(Serialize)]
struct Line<'a> {
    litmus: &'a str,
    fs: FileSystemKind,
    profile: Profile,
    crash_states: u64,
    observed: &'a Seen,
    allowed: &'a BTreeSet<String>,
    /// Observed, and not allowed by the profile.
    unexpected: Vec<&'a str>,
    /// Observed, and not allowed by `strict`.
    unexpected_strict: Vec<&'a str>,
    verdict: &'static str,
}

fn verdict(is_wrong: bool) -> &'static str {
    if is_wrong {
        "PROFILE ALLOWS LESS THAN REALITY"
    } else {
        "ok"
    }
}

/// Prints one object for each program.
pub(super) fn print_json(column: &Column, litmuses: &[Litmus]) {
    let fs = column.kind();
    let answers = match &column.answers {
        Ok(answers) => answers,
        Err(why) => {
            let line = serde_json::json!({ "fs": fs, "unavailable": why });
            println!("{line}");
            return;
        }
    };
    for (litmus, answer) in litmuses.iter().zip(answers) {
        let line = Line {
            litmus: litmus.name,
            fs,
            profile: profile_of(fs),
            crash_states: answer.states(),
            observed: &answer.seen,
            allowed: &answer.allowed,
            unexpected: answer.unexpected(&answer.allowed),
            unexpected_strict: answer.unexpected(&answer.strict),
            verdict: verdict(answer.is_wrong()),
        };
        println!("{}", serde_json::json!(line));
    }
}

/// Prints the last object.
pub(super) fn print_summary(columns: &[Column], litmuses: usize) {
    let answers: Vec<&Answer> = columns
        .iter()
        .flat_map(|column| column.answers.iter().flatten())
        .collect();
    let of = |is_there: bool| -> Vec<FileSystemKind> {
        let columns = columns
            .iter()
            .filter(|column| column.answers.is_ok() == is_there);
        columns.map(Column::kind).collect()
    };
    let summary = serde_json::json!({ "summary": {
        "litmuses": litmuses,
        "fs": of(true),
        "unavailable": of(false),
        "crash_states": answers.iter().map(|answer| answer.states()).sum::<u64>(),
        "wrong": answers.iter().filter(|answer| answer.is_wrong()).count(),
    }});
    println!("{summary}");
}

/// One row a program, one column a file system.
pub(super) fn table(columns: &[Column], litmuses: &[Litmus]) -> String {
    let mut text = String::from("| program |");
    for column in columns {
        write!(text, " {} |", column.kind()).expect("into memory");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    text.push('\n');
    for (row, litmus) in litmuses.iter().enumerate() {
        write!(text, "| `{}`: {} |", litmus.name, litmus.story).expect("into memory");
        for column in columns {
            let cell = match &column.answers {
                Ok(answers) => cell(&answers[row]),
                Err(_) => "unavailable".to_owned(),
            };
            write!(text, " {cell} |").expect("into memory");
        }
        text.push('\n');
    }
    text
}

fn cell(answer: &Answer) -> String {
    let wrong = answer.unexpected(&answer.allowed);
    let seen = answer.seen.keys().map(|outcome| {
        if wrong.contains(&outcome.as_str()) {
            format!("**{outcome}**")
        } else {
            outcome.clone()
        }
    });
    let mut cell = seen.collect::<Vec<_>>().join("; ");
    let unseen = answer.unseen();
    if !unseen.is_empty() {
        write!(cell, " [{}]", unseen.join("; ")).expect("into memory");
    }
    cell
}

/// What is missing, and what is wrong; or that nothing is.
pub(super) fn verdicts(columns: &[Column], litmuses: &[Litmus]) -> String {
    let mut text = String::new();
    for column in columns {
        let kind = column.kind();
        let answers = match &column.answers {
            Ok(answers) => answers,
            Err(why) => {
                writeln!(text, "\n{kind}: unavailable: {why}").expect("into memory");
                continue;
            }
        };
        let states: u64 = answers.iter().map(Answer::states).sum();
        writeln!(
            text,
            "\n{kind}: {}, {states} crash states.",
            verdict(column.is_wrong())
        )
        .expect("into memory");
        for (litmus, answer) in litmuses.iter().zip(answers) {
            let of = [
                (profile_of(kind), &answer.allowed),
                (Profile::Strict, &answer.strict),
            ];
            for (profile, allowed) in of {
                let unexpected = answer.unexpected(allowed);
                if !unexpected.is_empty() {
                    let unexpected = unexpected.join("; ");
                    writeln!(
                        text,
                        "- `{}`: the profile `{profile}` does not allow: {unexpected}",
                        litmus.name
                    )
                    .expect("into memory");
                }
            }
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Litmus tests: what real file systems keep

Small programs, each a few calls on files that were durable before, run on a real file system on a recorded disk
(`plugpull::disk`). Crashes after the program's end were mounted and looked at: every prefix of what the kernel wrote,
and a sample of subsets of what no flush covered, of torn and of reordered writes. Each program ran under every one of
these endings, once for a process that had just mounted the file system and once for one that had set everything up
itself:

- unmounted at once;
- a commit of the metadata before any data is written back, as it happens every 5 (ext4) to 30 seconds;
- one file written back after the other, in the order of names, with a commit after each;
- the same, in the opposite order.

A cell says what was seen; in brackets, what the [profile](power.md#what-is-lost-the-profiles) that stands for the
file system allows besides. What was seen and is not allowed would be in bold: then the profile is wrong, and the
command that makes this page ends with exit status 1. Everything seen is also compared with the profile `strict`.

- `old`, `new`, `zeros`, `garbage`: whose bytes there are; `old+zeros`: both. `longer: new`: the file has grown, by
  new bytes. `length N`: it is as long as it should not be.
- An outcome that was not seen may exist all the same: only milliseconds and little memory were at stake, and no
  commit was brought about between two calls of a program. What the kernel does in the background makes rare outcomes
  differ from run to run. A cell says what can be lost, and promises nothing.
- What is relied on because it was seen here is relied on for this kernel alone. POSIX promises less: see `strict`.

Made by `cargo torture litmus --markdown > docs/litmus.md`";

/// A page for the documentation.
pub(super) fn page(columns: &[Column], litmuses: &[Litmus]) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What distributors add to the version says nothing about file systems.
    let version = release
        .trim()
        .split('-')
        .next()
        .unwrap_or("of unknown version");
    let mut text = format!("{INTRODUCTION} on Linux {version}.\n\n");
    text.push_str(&table(columns, litmuses));
    text.push_str("\n## How they were made, and the verdict\n");
    for column in columns {
        let FileSystem {
            kind,
            bytes,
            mkfs_args,
            mount_options,
        } = &column.file_system;
        let options = if mount_options.is_empty() {
            "the default options".to_owned()
        } else {
            format!("`{mount_options}`")
        };
        write!(
            text,
            "\n- {kind}: {} MiB, `mkfs.{kind} {}`, mounted with {options}.",
            bytes >> 20,
            mkfs_args.join(" "),
        )
        .expect("into memory");
    }
    text.push('\n');
    text.push_str(&verdicts(columns, litmuses));
    text
}
