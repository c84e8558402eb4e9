//! jammdb: a commit writes its pages and the page that makes them valid between the same two syncs, in any order.
//!
//! ```sh
//! cargo run --release --manifest-path harness/neighbours/Cargo.toml --example jammdb_unordered
//! ```
//!
//! Nine commits are durable. The power is cut in the tenth, before its sync: of its writes the one to the meta page
//! has reached the disk, and those to the pages that it names have not.

use std::error::Error;
use std::fs;

use jammdb::DB;

const PAGE_BYTES: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("jammdb_unordered.{}", std::process::id()));
    fs::create_dir(&dir)?;
    let (live, crashed) = (dir.join("live"), dir.join("crashed"));
    let database = DB::open(&live)?;
    for key in 0..9 {
        put(&database, key)?;
    }
    let before = fs::read(&live)?;
    put(&database, 9)?;
    let after = fs::read(&live)?;

    let mut image = before;
    image[..2 * PAGE_BYTES].copy_from_slice(&after[..2 * PAGE_BYTES]);
    fs::write(&crashed, image)?;
    let reopened = DB::open(&crashed)?;
    let transaction = reopened.tx(false)?;
    for pair in transaction.get_bucket("entries")?.kv_pairs() {
        println!(
            "{}: {}",
            pair.key()[0],
            String::from_utf8_lossy(pair.value())
        );
    }
    Ok(fs::remove_dir_all(dir)?)
}

fn put(database: &DB, key: u8) -> Result<(), jammdb::Error> {
    let transaction = database.tx(true)?;
    let entries = transaction.get_or_create_bucket("entries")?;
    entries.put(vec![key], format!("value {key}"))?;
    transaction.commit()
}
