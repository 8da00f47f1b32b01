//! What must stay secret at rest: sealed with the keys of a ring that lives apart from what it seals.
//!
//! Every value has a random key of its own (the *data key*), which seals that one value and is itself sealed by the newest
//! key of the [`Ring`]. A new key of the ring is then a matter of resealing 32 bytes per value.

mod named;
mod ring;
mod sealed;
mod source;

pub use named::{SecretValue, Secrets};
pub use ring::{OpenError, Ring, RingError};
pub use sealed::{Sealed, Unreadable};
pub(crate) use source::RING;
pub use source::{RingSource, SourceError};
