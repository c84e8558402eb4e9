//! Writes `src/proto/` from `proto/collection.proto`:
//! `cargo run --manifest-path examples/collection/codegen/Cargo.toml`.

use std::error::Error;
use std::fs;
use std::path::Path;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (proto, out) = (package.join("proto"), package.join("src/proto"));
    let mut descriptors = protox::compile(["collection.proto"], [&proto])?;
    tonic_prost_build::configure()
        .out_dir(&out)
        .compile_fds(descriptors.clone())?;
    // What reflection tells: names and types, without the places in the file.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::rename(out.join("collection.v1.rs"), out.join("generated.rs"))?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
