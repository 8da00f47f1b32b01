//! The counter behind `demo://counter`, and the ways clients of both eras hear that it moved.

use std::sync::Arc;

use rmcp::{ErrorData, Peer, RoleServer, model::ResourceUpdatedNotificationParam, service::SubscriptionContext};
use tokio::sync::watch;

/// Where the counter is read and subscribed to.
pub(super) const URI: &str = "demo://counter";

/// A number that only goes up, shared by all connections.
#[derive(Clone, Default)]
pub(super) struct Counter {
    value: Arc<watch::Sender<u64>>,
}

impl Counter {
    /// The number now.
    pub(super) fn value(&self) -> u64 {
        *self.value.borrow()
    }

    /// Adds one, tells every subscriber, and returns the new number.
    pub(super) fn bump(&self) -> u64 {
        let mut now = 0;
        self.value.send_modify(|value| {
            *value += 1;
            now = *value;
        });
        now
    }

    /// Tells a legacy client of every change until its connection ends. Changes in quick succession are told once.
    pub(super) fn tell(&self, client: Peer<RoleServer>) -> impl Future<Output = ()> + 'static {
        let mut changes = self.value.subscribe();
        async move {
            while changes.changed().await.is_ok() {
                let update = ResourceUpdatedNotificationParam::new(URI);
                if client.notify_resource_updated(update).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The changes from now on, for [`listen`].
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.value.subscribe()
    }
}

/// Tells a modern client of `changes` until it ends its subscription or `ended` says that it cannot.
pub(super) async fn listen(
    mut changes: watch::Receiver<u64>,
    subscription: SubscriptionContext,
    ended: impl Future<Output = ()>,
) -> Result<(), ErrorData> {
    let accepted = subscription.accepted().resource_subscriptions.as_ref();
    let wanted = accepted.is_some_and(|uris| uris.iter().any(|uri| uri == URI));
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = subscription.cancelled() => return Ok(()),
            () = &mut ended => return Ok(()),
            changed = changes.changed(), if wanted => {
                changed.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
                let told = subscription.sink().notify_resource_updated(URI).await;
                told.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
            }
        }
    }
}
