//! The torture binary: this repository's own subjects under plugpull. See `cargo torture --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull::cli::main_with(&torture::subjects(), &torture::mutants())
}
