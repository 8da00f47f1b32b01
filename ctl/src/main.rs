//! The command people type: `sluice`.
fn main() {}
