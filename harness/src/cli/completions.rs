//! `completions`: a script for a shell.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use super::args::{CompletionShell, NAME};
use crate::crash_kind::CrashKind;
use crate::subject::Subject;

/// Prints the script. It knows this binary's subjects, engines and crash kinds.
pub(super) fn completions(subjects: &[&dyn Subject], line: clap::Command, shell: CompletionShell) {
    let names: Vec<String> = subjects.iter().map(|s| s.name().to_owned()).collect();
    let engines: BTreeSet<&str> = subjects.iter().flat_map(|s| s.engines()).copied().collect();
    let kinds = CrashKind::ALL.map(|kind| kind.to_string());
    let mut command = line.mut_subcommand("run", |run| {
        run.mut_arg("subjects", |arg| {
            arg.value_parser(PossibleValuesParser::new(names))
        })
        .mut_arg("engine", |arg| {
            arg.value_parser(PossibleValuesParser::new(engines))
        })
        .mut_arg("crash", |arg| {
            arg.value_parser(PossibleValuesParser::new(kinds))
        })
    });
    let binary = std::env::current_exe().ok();
    let binary = binary.as_deref().and_then(Path::file_name);
    let binary = binary.and_then(OsStr::to_str).unwrap_or(NAME).to_owned();
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, binary, &mut io::stdout());
}
