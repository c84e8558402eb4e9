//! The server and its client. See `collection --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    collection::cli::main()
}
