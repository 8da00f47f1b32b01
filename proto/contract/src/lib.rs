//! The wire contract between the planes: generated code only.
//!
//! Made at build time from `proto/sluice/v1/*.proto`; the comments there are the documentation. So far it holds the
//! snapshot, the complete configuration of a node. The push stream that carries snapshots between processes (a gRPC
//! service) joins it when a control plane runs as a process of its own; until then both planes meet in one process
//! and hand the message over as it is.
//!
//! Messages carry credentials and therefore have no `Debug`.

/// Version 1 of the contract: package `sluice.v1`.
#[expect(missing_docs, clippy::all, reason = "generated code; the .proto files hold the documentation")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sluice.v1.rs"));
}
