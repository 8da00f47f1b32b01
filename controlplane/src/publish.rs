//! From what is desired to what each node runs.
//!
//! A source says what is [`Desired`]: the file of `sluice run`, or the store of a fleet.

mod changes;
mod desired;

pub use changes::Changes;
pub use desired::Desired;
