//! Runs every input of the corpora through its target, without a fuzzer: after a change on the stable
//! compiler, and for [coverage](../../coverage.sh).

use std::fs;
use std::io;
use std::path::Path;

use groupwal_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let dir = corpus.join(name);
        let mut inputs = fs::read_dir(&dir)
            .map_err(|error| {
                let hint =
                    "write the seeds first: cargo run --manifest-path fuzz/Cargo.toml --bin seed";
                io::Error::new(error.kind(), format!("{}: {error}; {hint}", dir.display()))
            })?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        inputs.sort();
        for input in &inputs {
            run(&fs::read(input)?);
        }
        println!("{name}: {} inputs", inputs.len());
    }
    Ok(())
}
