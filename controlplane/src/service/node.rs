//! What people do with nodes.

use jiff::Timestamp;

use super::{Caller, Operation, Service, ServiceError};
use crate::audit::{self, Event};
use crate::publish::Nodes;

impl Service {
    /// Sends a node away and refuses its certificates.
    ///
    /// # Errors
    ///
    /// Not allowed, there is no such node, or the store fails.
    pub async fn revoke_node(&self, caller: &Caller, nodes: &Nodes, node: &str) -> Result<(), ServiceError> {
        self.allow(caller, Operation::RevokeNode).await?;
        let now = Timestamp::now();
        if !nodes.revoke(node, now).await? {
            let shown = node.escape_debug();
            return Err(ServiceError::NotFound(format!("no node is called `{shown}`; `sluice status` lists them")));
        }
        let event = Event {
            actor: caller.name.clone(),
            action: "node.revoke",
            object: format!("node/{node}"),
            ..Event::default()
        };
        self.store().write(move |db| Ok(audit::record(db, now, event)?)).await
    }
}
