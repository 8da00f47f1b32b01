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
    /// Not allowed, the store fails, or no such node is known: then certificates of that name are refused all the same.
    pub async fn revoke_node(&self, caller: &Caller, nodes: &Nodes, node: &str) -> Result<(), ServiceError> {
        self.allow(caller, Operation::RevokeNode).await?;
        let now = Timestamp::now();
        let unwritten = "the node was sent away, and after a restart of the control plane it could come back";
        let was_known = nodes.revoke(node, now).await.map_err(|error| error.after(unwritten))?;
        let event = Event {
            actor: caller.name.clone(),
            action: "node.revoke",
            object: format!("node/{node}"),
            detail: if was_known { String::new() } else { "not known".to_owned() },
            ..Event::default()
        };
        let written = self.store().write(move |db| Ok(audit::record(db, now, event)?)).await;
        written.map_err(|error: ServiceError| error.after("the node was revoked, which is not in the audit log"))?;
        if was_known {
            return Ok(());
        }
        Err(ServiceError::NotFound(format!(
            "no node is called `{}`; `sluice status` lists them. Should one have a certificate of that name, it is refused from now on",
            node.escape_debug()
        )))
    }
}
