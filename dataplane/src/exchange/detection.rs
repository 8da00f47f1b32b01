//! Finding out which era an HTTP server speaks: by `server/discover`; where that is refused, by `initialize`; where that is
//! refused as well, by the stream of HTTP+SSE (2026-07-28 *Streamable HTTP: Backward Compatibility*). Refusals alone say nothing
//! of an era: there may be no server of MCP at the address, or not yet.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::ask::{Discovered, probe, unusual};
use super::sessions::{OwnSession, Unopened};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::upstream::Upstream;
use crate::upstream::era::Known;

/// Whether the server is a modern one. What is found out is remembered. One asks for all who wait; what was found out `since` a request
/// came is not asked again for it.
///
/// # Errors
/// Why it could not be found out: the server is in trouble, or is none.
pub(super) async fn is_modern(worker: &Rc<Worker>, upstream: &Arc<Upstream>, since: Instant) -> Result<bool, Reason> {
    let mut failed = upstream.era.asking.lock().await;
    if let Some(modern) = upstream.era.learnt_since(since) {
        return Ok(modern);
    }
    if let Some((reason, at)) = &*failed {
        let again = if matches!(reason, Reason::ServerStatus(_)) { limit::ERA_REFUSED } else { Default::default() };
        if *at + again >= since {
            return Err(reason.clone());
        }
    }
    let asked = ask(worker, upstream).await;
    if let Err(reason @ Reason::ServerStatus(_)) = &asked {
        upstream.trouble.is(reason.phrase());
    }
    *failed = asked.as_ref().err().map(|reason| (reason.clone(), Instant::now()));
    asked
}

async fn ask(worker: &Rc<Worker>, upstream: &Arc<Upstream>) -> Result<bool, Reason> {
    let refused = match probe(worker, upstream).await? {
        Discovered::Modern => return Ok(true),
        Discovered::Legacy => return Ok(false),
        Discovered::Refused(status) => status,
    };
    match OwnSession::open(worker, upstream).await {
        Ok(session) => {
            let (worker_of_end, upstream_of_end) = (Rc::clone(worker), Arc::clone(upstream));
            tokio::task::spawn_local(async move { session.end(&worker_of_end, &upstream_of_end).await });
            // it may have come between the two questions, and know both eras
            if probe(worker, upstream).await == Ok(Discovered::Modern) {
                return Ok(true);
            }
        }
        Err(Unopened::Refused(status)) if upstream.detect(status).await => {}
        Err(Unopened::Refused(_)) => return Err(unusual(refused)),
        Err(Unopened::Failed(reason)) => return Err(reason),
    }
    upstream.era.learn(Known::Legacy);
    Ok(false)
}
