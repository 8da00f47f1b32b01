//! What a control plane has for its nodes: an authority, a publisher, and the service they come in by.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sluice_contract::v1::sync_server::SyncServer;

use crate::authority::{AUTHORITY, Authority, Clock};
use crate::publish::{Nodes, Publisher};
use crate::service::{Service, SessionKeys};
use crate::store::{self, tokens};
use crate::sync::{Admission, Sync};

use super::{AppError, trouble};

/// How often the authority looks whether something is due: its times are in weeks.
const KEEP_UP: Duration = Duration::from_secs(3600);

/// How soon after a failure of the store the keys of sessions are looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// The nodes' side of a control plane.
pub(super) struct Fleet {
    pub authority: Arc<Authority>,
    pub publisher: Arc<Publisher>,
    pub sync: SyncServer<Sync>,
}

impl Fleet {
    /// Brings nodes to what the store has, from now on. `names` are those the control plane is reached by.
    ///
    /// # Errors
    ///
    /// The store or the authority's file cannot be read.
    pub(super) async fn start(service: &Service, names: Vec<String>) -> Result<Self, AppError> {
        let store = service.store();
        // its first start made one, before any token and any node
        let is_known = !store.read_now(tokens::all)?.is_empty() || !store.read_now(store::nodes::all)?.is_empty();
        if is_known && !store.folder().file(AUTHORITY).exists() {
            return Err(AppError::Trouble(trouble::authority("is not there".to_owned(), store.folder().path())));
        }
        let authority = Authority::open(store.folder().clone(), service.ring(), Clock::system(), names)?;
        service.admit_by(&authority);
        let nodes = Nodes::open(store.clone())?;
        if authority.all().len() > 1 {
            // while authorities are exchanged, and what nodes know of that is forgotten with every start
            nodes.renew(false);
        }
        nodes.seal_sessions_by(service.session_keys().await?.keys);
        tokio::spawn(keep_session_keys(service.clone(), Arc::clone(&nodes)));
        let publisher = Publisher::new(service.follow().await?, Arc::clone(&nodes));
        let admission = Admission::new(store.clone(), Arc::clone(&authority), nodes);
        let sync = Sync::admitting(Arc::clone(&publisher), admission);
        tokio::spawn(keep_up(Arc::clone(&authority)));
        Ok(Self { authority, publisher, sync })
    }
}

/// Tells nodes the keys of sessions that are due.
async fn keep_session_keys(service: Service, nodes: Arc<Nodes>) {
    loop {
        let again = match service.session_keys().await {
            Ok(SessionKeys { keys, again }) => {
                nodes.seal_sessions_by(keys);
                again
            }
            Err(error) => {
                tracing::error!(%error, "the keys of sessions stay as they are");
                AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = service.session_keys_exchanged() => {}
        }
    }
}

async fn keep_up(authority: Arc<Authority>) {
    loop {
        tokio::time::sleep(KEEP_UP).await;
        if let Err(error) = authority.keep_up() {
            tracing::error!(%error, now = %Timestamp::now(), "the authority could not do what is due");
        }
    }
}
