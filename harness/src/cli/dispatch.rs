//! From the command line to the command.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::args::{Cli, Command, NAME};
use super::choose::{choose, program};
use super::completions::completions;
use super::list::list;
use super::merge::merge;
use super::replay::replay;
use super::run::run;
use super::seed::draw_seed;
use super::shrink::shrink;
use super::signal::{Farewell, Signals};
use crate::ablate::{self, AblateArgs};
use crate::doctor;
use crate::hang::{self, Hang, OnHang};
use crate::kinds::keep_panics_quiet;
use crate::litmus;
use crate::mutants::{self, Mutants, MutantsArgs};
use crate::process::limits_suffice;
use crate::report::{Ledger, Verdict, exit_status_of};
use crate::roles;
use crate::store::Tested;
use crate::subject::Subject;

const EXIT_USAGE: u8 = 2;

/// The whole of a torture binary's `main`.
///
/// It is also what the binary's own children run: the harness starts the binary again for every
/// process that is to be killed. Do nothing before you call it.
pub fn main(subjects: &[Box<dyn Subject>]) -> ExitCode {
    main_of(subjects, None)
}

/// [`main`] with the command `mutants`: these known bugs, put back.
pub fn main_with(subjects: &[Box<dyn Subject>], mutants: &Mutants) -> ExitCode {
    main_of(subjects, Some(mutants))
}

fn main_of(subjects: &[Box<dyn Subject>], mutants: Option<&Mutants>) -> ExitCode {
    let subjects: Vec<&dyn Subject> = subjects.iter().map(|subject| &**subject).collect();
    roles::obey_orders(&subjects);
    keep_panics_quiet();
    let mut line = Cli::command();
    line = line.subcommands(mutants.map(|_| mutants::command()));
    let matches = line.clone().get_matches();
    let status = match (mutants, matches.subcommand()) {
        (Some(suite), Some((mutants::NAME, matches))) => mutate(suite, matches),
        _ => Cli::from_arg_matches(&matches)
            .map_err(|error| error.to_string())
            .and_then(|cli| {
                // It runs no store, and where there is no thread to be had, it has to say so.
                if let Some(Command::Doctor) = cli.command {
                    return Ok(diagnose());
                }
                limits_suffice()?;
                let torture = OnceLock::new();
                let work = |on_hang: &OnHang| dispatch(&subjects, cli, line, on_hang, &torture);
                hang::within(work, |hang| end(hang, torture.get()))
            }),
    };
    ExitCode::from(status.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        EXIT_USAGE
    }))
}

/// The thread of a store that hangs cannot be ended, so the process ends. A torture tells what it has
/// done by then.
fn end(hang: &Hang, torture: Option<&Arc<Ledger>>) -> ! {
    eprintln!("{hang}");
    if let Some(ledger) = torture {
        ledger.hangs(hang);
        ledger.close(None);
    }
    std::process::exit(Verdict::Violation.exit_status().into())
}

const NO_LITMUS: &str = "no file system was looked at to the end";

/// For a command whose results are in its own hands.
fn ended_by(what: &'static str) -> Farewell {
    Box::new(move |signal| {
        eprintln!("Interrupted: {what}.");
        exit_status_of(signal)
    })
}

fn mutate(suite: &Mutants, matches: &ArgMatches) -> Result<u8, String> {
    let args = MutantsArgs::from_arg_matches(matches).map_err(|error| error.to_string())?;
    let signals = Signals::heeded(ended_by("what was not told above was not tried"))?;
    let status = mutants::run(suite, args, &signals.stop)?;
    Ok(signals.exit_status(status))
}

fn dispatch(
    subjects: &[&dyn Subject],
    cli: Cli,
    line: clap::Command,
    on_hang: &OnHang,
    torture: &OnceLock<Arc<Ledger>>,
) -> Result<u8, String> {
    let everything = || Cli::parse_from([NAME, "run", "--with-disk"]).command;
    match cli.command.or_else(everything).expect("given or put there") {
        Command::Run(args) => run(subjects, *args, on_hang, torture),
        Command::Replay { failure } => replay(subjects, &failure, on_hang),
        Command::Shrink {
            failure,
            duration,
            out,
        } => shrink(subjects, &failure, duration, out, on_hang),
        Command::Ablate(args) => ablate(subjects, *args, on_hang),
        Command::Litmus(args) => {
            let signals = Signals::heeded(ended_by(NO_LITMUS))?;
            match (litmus::run(&args, &signals.stop), signals.first()) {
                (Err(_), Some(signal)) => Ok(ended_by(NO_LITMUS)(signal)),
                (status, _) => status,
            }
        }
        Command::Merge { reports, json } => merge(&reports, json),
        Command::List => {
            list(subjects);
            Ok(0)
        }
        Command::Doctor => Ok(diagnose()),
        Command::Completions { shell } => {
            completions(subjects, line, shell);
            Ok(0)
        }
    }
}

fn diagnose() -> u8 {
    if doctor::report() { 0 } else { EXIT_USAGE }
}

fn ablate(subjects: &[&dyn Subject], args: AblateArgs, on_hang: &OnHang) -> Result<u8, String> {
    let commands = program([&args.cmd, &args.check, &args.owner])?;
    let tested = match (&commands, &args.subject) {
        (Some(commands), _) => Tested::Command(commands),
        (None, subject) => Tested::Subject(choose(subjects, subject.as_slice())?[0]),
    };
    let signals = Signals::heeded(ended_by("no sync was left out in enough rounds"))?;
    let status = ablate::run(tested, args, draw_seed(), &signals.stop, on_hang)?;
    Ok(signals.exit_status(status))
}
