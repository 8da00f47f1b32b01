//! What is desired, as the store has it: the source of revisions for a fleet.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::held::Held;
use super::{Service, ServiceError, secret};
use crate::compile::Labels;
use crate::language::join;
use crate::publish::Desired;
use crate::secrets::Ring;
use crate::store::tokens::{self, TokenKind};
use crate::store::{StoreError, StoredKey, nodes, objects, revisions};

/// What is desired at the head.
///
/// # Errors
///
/// The database fails, or what it holds was written by a version that knew other words.
pub fn desired(db: &Connection, ring: &Ring) -> Result<Desired, ServiceError> {
    let revision = revisions::head(db)?;
    let held =
        objects::at(db, revision)?.into_iter().map(|row| Held::open(row, ring)).collect::<Result<Vec<_>, _>>()?;
    let config = join(held.iter().map(|held| &held.object)).map_err(|faults| {
        let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        StoreError::Broken(told.join("; "))
    })?;
    Ok(Desired { revision, config, keys: keys(db)?, secrets: secret::opened(db, ring)?, ..Desired::default() })
}

/// How long to wait before a database that failed is asked again.
const AGAIN: Duration = Duration::from_secs(1);

impl Service {
    /// What is desired, now and whenever that changes; heads that come while one is read are skipped. It goes on until the last
    /// receiver is dropped.
    ///
    /// # Errors
    ///
    /// As [`desired`], of the first one.
    pub async fn follow(&self) -> Result<watch::Receiver<Arc<Desired>>, ServiceError> {
        let mut head = self.store().head();
        head.mark_unchanged();
        let (told, receiver) = watch::channel(self.desired().await?);
        let service = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = head.changed() => if changed.is_err() { return },
                    () = told.closed() => return,
                }
                while let Err(error) = service.tell(&told).await {
                    tracing::error!(%error, "what is desired cannot be read; nodes keep what they run");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        });
        Ok(receiver)
    }

    async fn tell(&self, told: &watch::Sender<Arc<Desired>>) -> Result<(), ServiceError> {
        told.send_replace(self.desired().await?);
        Ok(())
    }

    /// What is desired at the head.
    ///
    /// # Errors
    ///
    /// As [`desired`].
    pub async fn desired(&self) -> Result<Arc<Desired>, ServiceError> {
        let service = self.clone();
        self.store().read(move |db| service.desired_in(db)).await
    }
}

/// The nodes that are known, with their labels.
pub(super) fn nodes(db: &Connection) -> Result<Vec<(String, Labels)>, ServiceError> {
    Ok(nodes::all(db)?.into_iter().map(|(name, kept)| (name, kept.labels)).collect())
}

/// The API keys of clients.
pub(super) fn keys(db: &Connection) -> Result<Vec<StoredKey>, ServiceError> {
    let clients = tokens::all(db)?.into_iter().filter(|token| token.kind == TokenKind::Client);
    let key = |token: tokens::StoredToken| StoredKey {
        name: token.name,
        sha256: token.sha256,
        created: token.created,
        expires: token.expires,
    };
    Ok(clients.map(key).collect())
}
