//! The validated snapshot a data plane runs: contract messages parsed into types that cannot be wrong.
//!
//! Nothing here does I/O. `parse` turns a [`sluice_contract`] message into a [`Snapshot`] or into *every* fault found,
//! each with its path; both planes use it: the control plane proves what it compiled, the node refuses what it cannot run.
//! [`chunk`] cuts a message into the chunks it travels in, and makes it whole again.

pub mod chunk;
pub mod explain;
pub mod feature;
pub mod model;
mod parse;
pub mod policy;
pub mod share;

pub use parse::{Fault, authority, parse, sensitive};
