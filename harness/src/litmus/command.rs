//! `torture litmus`.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use clap::Args;

use super::bench::Bench;
use super::model::{allowed, profile_of};
use super::program::Litmus;
use super::report::{self, Answer, Column};
use crate::disk::{FileSystem, FileSystemKind, available};
use crate::sim::Profile;
use crate::stop::Stop;

/// Exit status: somebody asked for what is not to be had, or nothing was shown.
const EXIT_USAGE: u8 = 2;

pub(crate) const EXAMPLES: &str = "\
Examples:
  litmus                               every program on every file system that this machine has
  litmus rename append --fs ext4       two of them on ext4
  litmus --markdown > docs/litmus.md   the page in the documentation
  litmus --json | jq -s '.[-1].summary'";

/// What is asked for.
#[derive(Debug, Args)]
pub(crate) struct LitmusArgs {
    /// Programs by name; all if none is named.
    programs: Vec<String>,
    /// Real file systems, separated by commas; all that there are if not given. ext4, xfs or btrfs.
    #[arg(long, value_delimiter = ',')]
    fs: Vec<FileSystemKind>,
    /// One object a line.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// A whole page with an introduction.
    #[arg(long)]
    markdown: bool,
    /// Which crash states are looked at, where there are too many, derives from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where file systems are mounted, for this process only; the system's temporary directory if
    /// not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the litmus tests and prints what they show; the exit status.
///
/// # Errors
/// If a program is not known, the machine fails, or `stop` is set.
pub(crate) fn run(args: &LitmusArgs, stop: &Stop) -> Result<u8, String> {
    let litmuses = choose(&args.programs)?;
    let named = !args.fs.is_empty();
    let kinds = if named {
        args.fs.clone()
    } else {
        FileSystemKind::ALL.to_vec()
    };
    // Most of the time is spent waiting for devices.
    let columns = thread::scope(|scope| {
        let asked = kinds.into_iter().map(|kind| {
            let litmuses = &litmuses;
            scope.spawn(move || column(kind, litmuses, args, stop))
        });
        let asked: Vec<_> = asked.collect();
        let columns = asked.into_iter().map(|column| {
            let panicked = |_| Err("a thread panicked".to_owned());
            column.join().unwrap_or_else(panicked)
        });
        columns.collect::<Result<Vec<_>, _>>()
    })?;
    if args.json {
        for column in &columns {
            report::print_json(column, &litmuses);
        }
    }
    if args.json {
        report::print_summary(&columns, litmuses.len());
    } else if args.markdown {
        print!("{}", report::page(&columns, &litmuses));
    } else {
        print!("{}", report::table(&columns, &litmuses));
        print!("{}", report::verdicts(&columns, &litmuses));
    }
    let missing = columns.iter().filter(|column| column.answers.is_err());
    let missing = missing.count();
    Ok(if columns.iter().any(Column::is_wrong) {
        1
    } else if missing == columns.len() || (named && missing > 0) {
        EXIT_USAGE
    } else {
        0
    })
}

fn choose(names: &[String]) -> Result<Vec<Litmus>, String> {
    let all = Litmus::all();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|litmus| litmus.name == name);
        found.copied().ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|litmus| litmus.name).collect();
            format!("unknown program '{name}'; known are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn column(
    kind: FileSystemKind,
    litmuses: &[Litmus],
    args: &LitmusArgs,
    stop: &Stop,
) -> Result<Column, String> {
    let file_system = FileSystem::new(kind);
    let base = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Err(why) = available(&file_system, &base) {
        return Ok(Column {
            file_system,
            answers: Err(why),
        });
    }
    let at = |what: &str| {
        let what = what.to_owned();
        move |error| format!("{kind}: {what}: {error}")
    };
    let began = Instant::now();
    let mut bench = Bench::new(&file_system, &base, args.seed).map_err(at("no disk"))?;
    let mut answers = Vec::new();
    for litmus in litmuses {
        stop.check().map_err(at(litmus.name))?;
        let of = |profile| allowed(litmus, profile).map_err(at(litmus.name));
        answers.push(Answer {
            seen: bench.observe(litmus).map_err(at(litmus.name))?,
            allowed: of(profile_of(kind))?,
            strict: of(Profile::Strict)?,
        });
    }
    let states: u64 = answers.iter().map(Answer::states).sum();
    eprintln!("{kind}: {states} crash states in {:.0?}", began.elapsed());
    Ok(Column {
        file_system,
        answers: Ok(answers),
    })
}
