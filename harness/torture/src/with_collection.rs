//! The subject `collection` is a gRPC server, which takes longer to compile than everything else here. So it
//! has a torture binary of its own, which is built when it is asked for: this one then makes way.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

const SUBJECT: &str = "collection";

/// Whether the command line names the subject, or a saved failure of it.
pub(crate) fn is_asked_for() -> bool {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let Some((command, operands)) = args.split_first() else {
        return false;
    };
    match command.to_str() {
        Some("run" | "ablate") => operands.iter().any(|operand| operand == SUBJECT),
        Some("replay" | "shrink") => operands
            .iter()
            .any(|folder| is_failure_of_it(folder.as_ref())),
        _ => false,
    }
}

fn is_failure_of_it(folder: &Path) -> bool {
    let Ok(failure) = std::fs::read(folder.join("failure.json")) else {
        return false;
    };
    let failure: Result<serde_json::Value, _> = serde_json::from_slice(&failure);
    failure.is_ok_and(|failure| failure["subject"] == SUBJECT)
}

/// Becomes that binary; returns only if that cannot be.
pub(crate) fn run() -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "collection-torture"]);
    command.arg("--manifest-path");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    eprintln!("building the subject `{SUBJECT}`: a minute or two, the first time");
    let error = command.arg("--").args(env::args_os().skip(1)).exec();
    eprintln!(
        "error: cannot run {}: {error}",
        command.get_program().display()
    );
    ExitCode::from(2)
}
