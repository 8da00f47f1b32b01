//! The audit log: who changed what, and who was refused, in entries that hold each other.
//!
//! Entries are written in the transaction of what they tell, so that there is neither a change without its entry nor an entry
//! without its change. Nothing here removes one: how long they are kept is the operator's decision.

mod chain;
mod log;

pub use chain::{Entry, GENESIS};
pub use log::{DENIED, Event, Verdict, before, record, verify};
