//! The torture binary: this repository's own subjects under plugpull. See `cargo torture --help`.

use std::process::ExitCode;

#[cfg(not(feature = "collection"))]
mod with_collection;

fn main() -> ExitCode {
    #[cfg(not(feature = "collection"))]
    if with_collection::is_asked_for() {
        return with_collection::run();
    }
    plugpull::cli::main(&torture::subjects())
}
