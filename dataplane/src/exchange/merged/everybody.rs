//! What concerns every server a session is open with: the log level, and that the client's roots changed.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use sluice_mcp::{Kind, Method, ScanLimits, scan};

use super::asker::ask_part;
use super::{Client, accepted, merged_of, own_result};
use crate::exchange::call::{Arrival, Posted};
use crate::exchange::{Outcome, refuse, sessions};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::upstream::pipe::Caller;

/// Tells all open servers. A log level holds for those that open later, too; it is set if one server took it, or none is
/// open yet.
pub(super) async fn tell(worker: &Rc<Worker>, mut arrival: Arrival, posted: Posted, client: Client) -> Outcome {
    let Client::Legacy(whole) = client else {
        let id = posted.id();
        return Err(refuse(&mut arrival, Reason::UnknownMethod { modern: true }, id));
    };
    let merged = merged_of(&whole.session);
    let is_level = posted.message.method == Method::LoggingSetLevel;
    if is_level && posted.body.len() <= limit::REMEMBERED_BYTES {
        let kept = sessions::set_log_level(worker, &whole.session, Bytes::copy_from_slice(&posted.body)).await;
        if let Err(reason) = kept {
            let id = posted.id();
            return Err(refuse(&mut arrival, reason, id));
        }
    }
    let open = merged.parts();
    let is_request = posted.message.kind == Kind::Request;
    let telling = open.iter().filter_map(|part| {
        let upstream = arrival.plane.server(&part.server).filter(|upstream| upstream.id == part.definition)?;
        let caller = Caller { principal: part.principal, session: Some(part.id.0) };
        let body = posted.body.clone();
        let told = async move {
            if is_request {
                let answer = ask_part(worker, upstream, part, body, Some(caller)).await?;
                let taken = scan(&answer, ScanLimits { depth: u16::MAX }).is_ok_and(|m| m.result.is_some());
                return if taken { Ok(()) } else { Err(Reason::ServerGarbage("a refusal")) };
            }
            sessions::tell_part(worker, upstream, part, body).await
        };
        // one that hangs must not hold up the others' answer
        Some(async move { tokio::time::timeout(limit::EVERYBODY, told).await.unwrap_or(Err(Reason::ServerTimeout)) })
    });
    let told = join_all(telling).await;
    if posted.message.kind == Kind::Notification {
        return Ok(accepted(arrival));
    }
    let failure = told.iter().all(Result::is_err).then(|| told.into_iter().find_map(Result::err)).flatten();
    match failure {
        Some(Reason::ServerGarbage(_)) => {
            let id = posted.id();
            Err(refuse(&mut arrival, Reason::NobodyLogs, id))
        }
        Some(reason) => {
            let id = posted.id();
            Err(refuse(&mut arrival, reason, id))
        }
        None => Ok(own_result(arrival, &posted, b"{}")),
    }
}
