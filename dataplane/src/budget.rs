//! The node's byte budget: bodies, what sessions keep, and messages waiting for their clients together stay below
//! [`limit::NODE_BYTES`] (architecture.md, law 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limit;
use crate::reason::Reason;

/// The bytes a node holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// Bytes taken from the budget until dropped.
pub(crate) struct Held {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Reserves room, before what needs it is there.
    ///
    /// # Errors
    /// [`Reason::Busy`] when the budget is used up.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Reason> {
        if self.add(bytes) { Ok(Held { budget: self.clone(), bytes }) } else { Err(Reason::Busy) }
    }

    /// Counts bytes in; `false`, and nothing counted, when they do not fit.
    pub(crate) fn add(&self, bytes: usize) -> bool {
        let fits = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= limit::NODE_BYTES;
        if !fits {
            self.take(bytes);
        }
        fits
    }

    /// Counts bytes out.
    pub(crate) fn take(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// [`Reason::Busy`] when the budget is used up; what was held stays held.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Reason> {
        if !self.budget.add(bytes) {
            return Err(Reason::Busy);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.take(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_dropped_is_free_again() {
        let budget = Budget::default();
        let most = budget.hold(limit::NODE_BYTES).unwrap();
        assert_eq!(budget.hold(1).err(), Some(Reason::Busy));
        assert_eq!(budget.used(), limit::NODE_BYTES);
        drop(most);
        assert_eq!(budget.used(), 0);
        let mut growing = budget.hold(1).unwrap();
        growing.grow(limit::NODE_BYTES - 1).unwrap();
        assert_eq!(growing.grow(1).err(), Some(Reason::Busy));
        drop(growing);
        assert_eq!(budget.used(), 0);
    }
}
