//! From the command line to the command.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::args::{Cli, Command, NAME};
use super::choose::choose;
use super::completions::completions;
use super::list::list;
use super::merge::merge;
use super::replay::replay;
use super::run::run;
use super::seed::draw_seed;
use super::shrink::shrink;
use super::signal::stop_on_signal;
use crate::ablate::{self, AblateArgs};
use crate::doctor;
use crate::hang::{self, Hang, OnHang};
use crate::kinds::keep_panics_quiet;
use crate::litmus;
use crate::mutants::{self, Mutants, MutantsArgs};
use crate::report::Verdict;
use crate::roles;
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
    roles::obey(&subjects);
    keep_panics_quiet();
    let mut line = Cli::command();
    line = line.subcommands(mutants.map(|_| mutants::command()));
    let matches = line.clone().get_matches();
    let status = match (mutants, matches.subcommand()) {
        (Some(suite), Some((mutants::NAME, matches))) => mutate(suite, matches),
        _ => Cli::from_arg_matches(&matches)
            .map_err(|error| error.to_string())
            .and_then(|cli| hang::within(|on_hang| dispatch(&subjects, cli, line, on_hang), end)),
    };
    ExitCode::from(status.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        EXIT_USAGE
    }))
}

/// The thread of a store that hangs cannot be ended, so the process ends.
fn end(hang: &Hang) -> ! {
    eprintln!("{hang}");
    std::process::exit(Verdict::Violation.exit_status().into())
}

fn mutate(suite: &Mutants, matches: &ArgMatches) -> Result<u8, String> {
    let args = MutantsArgs::from_arg_matches(matches).map_err(|error| error.to_string())?;
    mutants::run(suite, args, &*stop_on_signal()?)
}

fn dispatch(
    subjects: &[&dyn Subject],
    cli: Cli,
    line: clap::Command,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let everything = || Cli::parse_from([NAME, "run", "--with-disk"]).command;
    match cli.command.or_else(everything).expect("given or put there") {
        Command::Run(args) => run(subjects, *args, on_hang),
        Command::Replay { failure } => replay(subjects, &failure, on_hang),
        Command::Shrink {
            failure,
            duration,
            out,
        } => shrink(subjects, &failure, duration, out, on_hang),
        Command::Ablate(args) => ablate(subjects, args, on_hang),
        Command::Litmus(args) => litmus::run(&args),
        Command::Merge { reports, json } => merge(&reports, json),
        Command::List => {
            list(subjects);
            Ok(0)
        }
        Command::Doctor => Ok(if doctor::report() { 0 } else { EXIT_USAGE }),
        Command::Completions { shell } => {
            completions(subjects, line, shell);
            Ok(0)
        }
    }
}

fn ablate(subjects: &[&dyn Subject], args: AblateArgs, on_hang: &OnHang) -> Result<u8, String> {
    let subject = choose(subjects, std::slice::from_ref(&args.subject))?[0];
    ablate::run(subject, args, draw_seed(), &*stop_on_signal()?, on_hang)
}
