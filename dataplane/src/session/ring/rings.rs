//! The rings of one session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Ring;
use crate::limit;

/// Those that its client may read.
#[derive(Default)]
pub(crate) struct Rings(Mutex<Vec<Arc<Ring>>>);

impl Rings {
    /// Takes in a ring; `false`: there are enough.
    pub(crate) fn add(&self, ring: &Arc<Ring>) -> bool {
        let mut rings = self.lock();
        let has_room = rings.len() < limit::RINGS_PER_SESSION;
        if has_room {
            rings.push(Arc::clone(ring));
        }
        has_room
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Ring>> {
        self.lock().clone()
    }

    /// That of a stream.
    pub(crate) fn of(&self, stream: u64) -> Option<Arc<Ring>> {
        self.lock().iter().find(|ring| ring.stream == stream).cloned()
    }

    /// That of the standing stream which goes on though its client is away.
    pub(crate) fn waiting(&self) -> Option<Arc<Ring>> {
        self.lock().iter().rfind(|ring| ring.is_standing && ring.waits()).cloned()
    }

    /// Nobody can read it any more.
    pub(crate) fn remove(&self, stream: u64) {
        self.lock().retain(|ring| ring.stream != stream);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Ring>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
