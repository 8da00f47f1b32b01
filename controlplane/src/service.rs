//! What people and their tools may do with a control plane, whatever door they come through: the doors (`api`) translate, and
//! decide nothing.
//!
//! An operation is allowed to a role ([`Operation`]), judged whole before anything is stored, done in one write of the store
//! together with its entry in the audit log, and answered when it is on the disk.

mod attempts;
mod authenticate;
mod authority;
mod caller;
mod catalogue;
mod change;
mod counters;
mod edit;
mod error;
mod explain;
mod first;
mod held;
mod judge;
mod made;
mod node;
mod operation;
mod order;
mod read;
mod secret;
mod session;
mod session_key;
mod source;
#[cfg(test)]
mod tests;
mod token;

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::audit::Event;
use crate::authority::Authority;
use crate::secrets::{Ring, RingSource};
use crate::store::Store;
use attempts::Attempts;
use made::Made;

pub use authenticate::bearer;
pub use authority::Authorities;
pub use caller::{Caller, Role};
pub use change::{Change, ChangeKind, FieldChange};
pub use counters::Counters;
pub use edit::{Apply, Delete, MAX_MESSAGE, Outcome, RawObject, Rollback};
pub use error::{Inside, ServiceError};
pub use explain::{Asked, explained};
pub use first::ADMIN_TOKEN;
pub use judge::Judged;
pub use operation::Operation;
pub use read::{MAX_ROWS, RevisionAbout, Shown};
pub use secret::SecretAbout;
pub(crate) use session_key::SessionKeys;
pub use source::desired;
pub use token::{CreateToken, CreatedToken, JOIN_SECONDS};

/// The operations. Clones are the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    store: Store,
    ring: ArcSwap<Ring>,
    /// Where the ring is read again; `None`: it stays what it is.
    ring_source: OnceLock<RingSource>,
    attempts: Attempts,
    counters: Counters,
    /// Whose certificates nodes get; there is none where there are no nodes.
    authority: OnceLock<Arc<Authority>>,
    /// Somebody made another key for sessions.
    session_keys: Notify,
    /// The newest revision that was made of objects.
    made: ArcSwapOption<Made>,
}

impl Service {
    /// The operations on a store whose secrets are sealed with a ring.
    #[must_use]
    pub fn new(store: Store, ring: Arc<Ring>) -> Self {
        Self(Arc::new(Inner {
            store,
            ring: ArcSwap::new(ring),
            ring_source: OnceLock::new(),
            attempts: Attempts::default(),
            counters: Counters::default(),
            authority: OnceLock::new(),
            session_keys: Notify::new(),
            made: ArcSwapOption::empty(),
        }))
    }

    /// Nodes are admitted by this authority from now on.
    pub fn admit_by(&self, authority: &Arc<Authority>) {
        // it is said once, at the start
        let _ = self.0.authority.set(Arc::clone(authority));
    }

    /// What it works on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What seals the secrets in it, as it is now.
    #[must_use]
    pub fn ring(&self) -> Arc<Ring> {
        self.0.ring.load_full()
    }

    /// The key ring is read here again when keys are rotated.
    pub fn ring_from(&self, source: RingSource) {
        // it is said once, at the start
        let _ = self.0.ring_source.set(source);
    }

    /// What was asked for and refused since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Refuses a caller whose role is too low, and remembers that it did.
    ///
    /// # Errors
    ///
    /// The role is too low.
    pub async fn allow(&self, caller: &Caller, operation: Operation) -> Result<(), ServiceError> {
        let needs = operation.role();
        if caller.role >= needs {
            self.0.counters.allowed(operation);
            return Ok(());
        }
        self.0.counters.denied();
        let detail = format!("{} takes the role {needs}", operation.name());
        self.refused(&caller.name, "denied", detail).await;
        Err(ServiceError::Denied { operation: operation.name(), needs, has: caller.role })
    }

    /// Remembers a refusal; of many in a short time, the first ones and how many more there were.
    async fn refused(&self, actor: &str, action: &'static str, detail: String) {
        if self.0.attempts.note(actor, Timestamp::now()).is_remembered() {
            let event = Event { actor: actor.to_owned(), action, detail, ..Event::default() };
            self.remember_refusal(event).await;
        }
    }

    /// Remembers a refusal. It is one also where the log cannot be written: then it is counted, and written with the next sum.
    async fn remember_refusal(&self, event: Event) {
        let (actor, detail) = (event.actor.clone(), event.detail.clone());
        if let Err(error) = self.remember(vec![event]).await {
            tracing::warn!(%error, actor, detail, "somebody was refused, which is not in the audit log yet");
            self.0.attempts.owe(&actor, 1, Timestamp::now());
        }
    }

    /// Writes down how many refusals there were beyond those that were written one by one. Called every minute, and at the end.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn sum_up_refusals(&self) -> Result<(), ServiceError> {
        let sums = self.0.attempts.take_sums(Timestamp::now());
        if sums.is_empty() {
            return Ok(());
        }
        let event = |(actor, count): &(String, u64)| Event {
            actor: actor.clone(),
            action: "denied",
            detail: format!("{count} more times"),
            ..Event::default()
        };
        let written = self.remember(sums.iter().map(event).collect()).await;
        if written.is_err() {
            sums.iter().for_each(|(actor, count)| self.0.attempts.owe(actor, *count, Timestamp::now()));
        }
        written
    }

    /// Adds entries to the audit log.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn remember(&self, events: Vec<Event>) -> Result<(), ServiceError> {
        let now = Timestamp::now();
        self.0
            .store
            .write(move |tx| events.into_iter().try_for_each(|event| Ok(crate::audit::record(tx, now, event)?)))
            .await
    }
}
