//! The torture binary: this repository's own subjects under plugpull. See `cargo torture --help`.

mod with_collection;

use std::process::ExitCode;

fn main() -> ExitCode {
    if with_collection::is_asked_for() {
        return with_collection::run();
    }
    plugpull::cli::main_with(&torture::subjects(), &torture::mutants())
}
