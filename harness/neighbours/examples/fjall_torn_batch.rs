//! fjall: a write that was cut by a power loss, and was never acknowledged, makes a database refuse to open.
//!
//! ```sh
//! cargo run --release --manifest-path harness/neighbours/Cargo.toml --example fjall_torn_batch
//! ```
//!
//! The first write is synced. The second one is not, and the power is cut: of its bytes in the journal all are on the
//! disk but one sector, which no sync had covered. Recovery finds the end marker of the batch and a wrong checksum, and
//! returns that as an error, where it cuts off a batch without an end marker.

use std::error::Error;
use std::fs;
use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("fjall_torn_batch.{}", std::process::id()));
    let (live, crashed) = (dir.join("live"), dir.join("crashed"));
    let database = Database::builder(&live).open()?;
    let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
    entries.insert("first", "synced")?;
    database.persist(PersistMode::SyncAll)?;
    entries.insert("second", [b'x'; 4000])?;

    copy(&live, &crashed)?;
    let journal = crashed.join("0.jnl");
    let mut bytes = fs::read(&journal)?;
    let value = bytes
        .iter()
        .position(|byte| *byte == b'x')
        .ok_or("no second write")?;
    let sector = value.next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    fs::write(journal, bytes)?;

    let reopened = Database::builder(&crashed).open();
    match &reopened {
        Ok(_) => println!("it opens"),
        Err(error) => println!("it does not open: {error}"),
    }
    drop((reopened, entries, database));
    Ok(fs::remove_dir_all(dir)?)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
