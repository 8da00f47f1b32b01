//! Generates the contract from `proto/sluice/v1/*.proto` with a compiler written in Rust: no protoc is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("..");
    let files = ["snapshot", "session", "sync", "admin"].map(|name| root.join(format!("sluice/v1/{name}.proto")));
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure()
        // Messages carry credentials: none of them can be printed, not even by accident.
        .skip_debug(["."])
        // Maps in order of their keys: chunks are named by a digest of their bytes, so equal content has equal bytes.
        .btree_map(".")
        // Chunks are shared among nodes, not copied for each.
        .bytes(".sluice.v1.Part.bytes")
        .compile_fds(descriptors)?;
    Ok(())
}
