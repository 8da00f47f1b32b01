//! The keys of one object met so far that have no field of their own, so that none passes twice.

use std::{borrow::Cow, collections::HashSet};

use smallvec::SmallVec;

use super::{
    cursor::{Fault, Key, Step},
    fault::Reason,
};

/// Up to this many keys are compared one by one; more go to a table, so that the cost stays linear.
const FEW: usize = 16;

#[derive(Default)]
pub(crate) struct Seen<'a> {
    few: SmallVec<[Cow<'a, [u8]>; FEW]>,
    many: Option<HashSet<Cow<'a, [u8]>>>,
}

impl<'a> Seen<'a> {
    /// Remembers a key; a fault if it was there before.
    pub(crate) fn add(&mut self, key: Key<'a>) -> Step<()> {
        let fault = Fault::new(Reason::DuplicateKey, key.at);
        if let Some(many) = &mut self.many {
            return if many.insert(key.text) { Ok(()) } else { Err(fault) };
        }
        if self.few.contains(&key.text) {
            return Err(fault);
        }
        self.few.push(key.text);
        if self.few.len() == FEW {
            self.many = Some(self.few.drain(..).collect());
        }
        Ok(())
    }
}
