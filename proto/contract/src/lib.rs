//! The wire contract between the planes: generated code only.
//!
//! Made at build time from `proto/sluice/v1/*.proto`; the comments there are the documentation. `snapshot` is the complete
//! configuration of a node, `sync` the push stream that carries it, `admin` what people and their tools may do.
//!
//! Messages carry credentials and therefore have no `Debug`.

/// Version 1 of the contract: package `sluice.v1`.
#[expect(missing_docs, clippy::all, reason = "generated code; the .proto files hold the documentation")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sluice.v1.rs"));
}
