//! Sessions of legacy clients: listed, and ended by people.

use std::sync::Arc;

use sluice_contract::v1;

use super::{Caller, Operation, Service, ServiceError};
use crate::audit::Event;
use crate::publish::Nodes;

/// Most sessions that one call names.
const MOST: usize = 1_000;

impl Service {
    /// A page of the sessions on all nodes.
    ///
    /// # Errors
    ///
    /// Not allowed, or it is to begin after what is no id.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
        nodes: &Nodes,
        which: &v1::ListSessionsRequest,
    ) -> Result<v1::ListSessionsResponse, ServiceError> {
        self.allow(caller, Operation::ListSessions).await?;
        if !which.after.is_empty() {
            check(&which.after)?;
        }
        Ok(nodes.list_sessions(which).await)
    }

    /// Ends sessions on all nodes, and remembers who did.
    ///
    /// # Errors
    ///
    /// Not allowed, it does not say which, or the store fails.
    pub async fn end_sessions(
        &self,
        caller: &Caller,
        nodes: &Arc<Nodes>,
        which: &v1::EndSessionsRequest,
    ) -> Result<v1::EndSessionsResponse, ServiceError> {
        self.allow(caller, Operation::EndSessions).await?;
        if which.sessions.is_empty() == which.principal.is_empty() {
            return Err(ServiceError::Invalid("say which: ids of sessions, or a principal".to_owned()));
        }
        if which.sessions.len() > MOST {
            return Err(ServiceError::Invalid(format!("at most {MOST} sessions can be named at a time")));
        }
        which.sessions.iter().try_for_each(|id| check(id))?;
        let answer = nodes.end_sessions(which).await;
        let objects: Vec<String> = match which.principal.as_str() {
            "" => which.sessions.iter().map(|id| format!("session/{id}")).collect(),
            principal => vec![format!("principal/{principal}")],
        };
        let ended = answer.ended;
        let event = |object| Event {
            actor: caller.name.clone(),
            action: "session.end",
            object,
            detail: format!("{ended} ended"),
            ..Event::default()
        };
        let written = self.remember(objects.into_iter().map(event).collect()).await;
        written.map_err(|error| error.after("the sessions were ended, which is not in the audit log"))?;
        Ok(answer)
    }
}

/// 32 hexadecimal digits.
fn check(id: &str) -> Result<(), ServiceError> {
    if id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(());
    }
    let shown: String = id.chars().take(64).flat_map(char::escape_debug).collect();
    Err(ServiceError::Invalid(format!(
        "`{shown}` is no session's id: 32 hexadecimal digits, as `sluice session list` shows them"
    )))
}
