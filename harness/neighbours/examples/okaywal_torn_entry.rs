//! okaywal: a process that is killed in the middle of an entry leaves a log that does not open.
//!
//! ```sh
//! cargo run --release --manifest-path harness/neighbours/Cargo.toml --example okaywal_torn_entry
//! ```
//!
//! The entry is longer than the log's buffer, so that its beginning is in the file, and the zeros of the preallocated
//! file behind it. "If the entry wasn't completely written, None will be returned" (`Entry::read_all_chunks`); what is
//! returned is an error, "crc check failed", and the crate's own example hands it on.

use std::env;
use std::error::Error;
use std::io;
use std::path::Path;
use std::process::Command;

use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = env::args_os().nth(1) {
        let log = open(Path::new(&dir))?;
        let mut entry = log.begin_entry()?;
        entry.write_chunk(&vec![b'x'; 20 * 1024])?;
        std::process::abort();
    }
    let dir = env::temp_dir().join(format!("okaywal_torn_entry.{}", std::process::id()));
    let log = open(&dir)?;
    let mut entry = log.begin_entry()?;
    entry.write_chunk(b"committed")?;
    entry.commit()?;
    log.shutdown()?;

    let ended = Command::new(env::current_exe()?).arg(&dir).status()?;
    println!("in the middle of the next entry: {ended}");
    match open(&dir) {
        Ok(_) => println!("it opens"),
        Err(error) => println!("it does not open: {error}"),
    }
    Ok(std::fs::remove_dir_all(dir)?)
}

fn open(dir: &Path) -> io::Result<WriteAheadLog> {
    WriteAheadLog::recover(dir, Manager)
}

#[derive(Debug)]
struct Manager;

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            println!("recovered: {:?}", String::from_utf8_lossy(&chunks.concat()));
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}
