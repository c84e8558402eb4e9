//! The collection under torture: `cargo torture run collection` builds and runs this.

use std::process::ExitCode;

use collection_torture::{VectorCollection, mutants};

fn main() -> ExitCode {
    plugpull::cli::main_with(&[Box::new(VectorCollection)], &mutants())
}
