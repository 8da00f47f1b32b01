//! The head as it was made: its objects, and the configuration that was read, judged and proved of them. What follows goes on from there,
//! and does not read a thousand objects again because one has changed.

use std::sync::Arc;

use rusqlite::Connection;

use super::held::Held;
use super::{Service, ServiceError, source};
use crate::publish::Desired;
use crate::store::{objects, revisions};

/// A revision that somebody made of objects in this process.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) objects: Arc<Vec<Held>>,
    pub(super) desired: Arc<Desired>,
}

impl Service {
    /// Goes on from there. To be told under the lock of the store, once it is on the disk: then no revision of that number says anything
    /// else.
    pub(super) fn made(&self, made: Option<&Made>) {
        if let Some(made) = made {
            self.0.made.store(Some(Arc::new(made.clone())));
        }
    }

    /// Goes on from what the database has.
    pub(super) fn forget_made(&self) {
        self.0.made.store(None);
    }

    /// What is known of the head of this state of the database. Keys and secrets make revisions, too, of which nothing is known here.
    fn known(&self, db: &Connection) -> Result<Option<Arc<Made>>, ServiceError> {
        let head = revisions::head(db)?;
        Ok(self.0.made.load_full().filter(|made| made.desired.revision == head))
    }

    /// The objects of the head.
    pub(super) fn objects(&self, db: &Connection) -> Result<Arc<Vec<Held>>, ServiceError> {
        if let Some(made) = self.known(db)? {
            return Ok(Arc::clone(&made.objects));
        }
        let ring = self.ring();
        let rows = objects::at(db, revisions::head(db)?)?;
        Ok(Arc::new(rows.into_iter().map(|row| Held::open(row, &ring)).collect::<Result<_, _>>()?))
    }

    /// What is desired at the head.
    pub(super) fn desired_in(&self, db: &Connection) -> Result<Arc<Desired>, ServiceError> {
        match self.known(db)? {
            Some(made) => Ok(Arc::clone(&made.desired)),
            None => Ok(Arc::new(source::desired(db, &self.ring())?)),
        }
    }
}
