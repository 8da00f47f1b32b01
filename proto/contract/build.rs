//! Generates the contract from `proto/sluice/v1/*.proto` with a compiler written in Rust: no protoc is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("..");
    let files = [root.join("sluice/v1/snapshot.proto")];
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(files, [root])?;
    prost_build::Config::new()
        // Messages carry credentials: none of them can be printed, not even by accident.
        .skip_debug(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
