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
        let unwritten = "the node was sent away, and after a restart of the control plane it could come back";
        if !nodes.revoke(node, now).await.map_err(|error| error.after(unwritten))? {
            let shown = node.escape_debug();
            return Err(ServiceError::NotFound(format!("no node is called `{shown}`; `sluice status` lists them")));
        }
        let event = Event {
            actor: caller.name.clone(),
            action: "node.revoke",
            object: format!("node/{node}"),
            ..Event::default()
        };
        let written = self.store().write(move |db| Ok(audit::record(db, now, event)?)).await;
        written.map_err(|error: ServiceError| error.after("the node was revoked, which is not in the audit log"))
    }
}
