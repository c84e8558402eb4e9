//! `groupwal`: looks into a log, checks it, rescues what is left of it, brings one over from MuopDB.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod bytes;
mod dump;
mod failure;
mod histogram;
mod import;
mod interrupts;
mod json;
mod progress;
mod salvage;
mod text;
mod verify;
mod window;

const EXIT_STATUS: &str = "\
Exit status:
  0    all is well
  1    acknowledged entries are damaged or lost
  2    wrong usage, an environment that does not allow it, files that cannot be told for sure, or a
       log that changes while it is read
  3    import-muopdb: it stopped at damage; what came before is in the new log
  130  interrupted; nothing was made";

/// Looks into a groupwal log, checks it, rescues it, or brings one over from MuopDB.
///
/// dump and verify only read: they take no lock and need no permission to write, and the log may be in
/// use. salvage and import-muopdb make a new log and leave the old files as they are: the new one gets
/// its name when all of it is durable, so a crash half-way leaves nothing under that name.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = EXIT_STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dump(dump::Arguments),
    Verify(verify::Arguments),
    Salvage(salvage::Arguments),
    ImportMuopdb(import::Arguments),
    /// Prints the manual page
    ///
    /// In troff, for man(1): groupwal man | man -l -
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let done = interrupts::survive_file_limit().and_then(|()| match &command {
        Command::Dump(arguments) => dump::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Salvage(arguments) => salvage::run(arguments),
        Command::ImportMuopdb(arguments) => import::run(arguments),
        Command::Man => manual(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// One page for all of it: the commands' own pages follow the program's.
fn manual() -> Result<(), failure::Failure> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    for command in all.filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
    }
    std::io::Write::write_all(&mut std::io::stdout(), &page)?;
    Ok(())
}
