//! writeahead: a power loss at the creation of a file leaves a log that does not start.
//!
//! ```sh
//! cargo run --release --manifest-path harness/neighbours/Cargo.toml --example writeahead_torn_rotation
//! ```
//!
//! A file gets its final name, then its header is written, then both are synced. A power loss before that sync may
//! leave the name and the size, and zeros in the header's place. Nothing was acknowledged in that file; the records of
//! the file before it were. A file that is shorter than its header is healed, one of this length is not.

use std::error::Error;
use std::fs;

use writeahead::{SimpleFile, WriteAhead, WriteAheadOptions};

/// What the crate writes first into a file.
const HEADER_BYTES: usize = 12 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("writeahead_torn_rotation.{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut log = open(&dir);
    log.start()?;
    let address = runtime.block_on(log.writer()?.write(b"acknowledged".to_vec()))?;
    println!("acknowledged: {address:?}");
    drop(log);

    fs::write(dir.join("0000000001.log"), vec![0; HEADER_BYTES])?;
    match open(&dir).start() {
        Ok(()) => println!("it starts"),
        Err(error) => println!("it does not start: {error}"),
    }
    Ok(fs::remove_dir_all(dir)?)
}

fn open(dir: &std::path::Path) -> WriteAhead<SimpleFile> {
    WriteAhead::with_options(WriteAheadOptions {
        log_dir: dir.to_owned(),
        ..WriteAheadOptions::default()
    })
}
