//! `tasks/list` of the merged door: the tasks of one principal on all servers that list theirs.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use sluice_mcp::path::member;
use sluice_mcp::{Method, ScanLimits, scan};

use super::asker::ask_part;
use super::{Client, lists, own_result};
use crate::exchange::call::{Arrival, Posted};
use crate::exchange::handles::Handles;
use crate::exchange::relay::edited;
use crate::exchange::{Outcome, handles_of};
use crate::limit;
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::Session;
use crate::upstream::Upstream;

/// Asks every server that lists tasks, all pages, and answers with all of them.
pub(super) async fn list(worker: &Rc<Worker>, arrival: Arrival, posted: Posted, client: Client) -> Outcome {
    let Client::Legacy(whole) = &client else {
        let mut arrival = arrival;
        let id = posted.id();
        return Err(crate::exchange::refuse(&mut arrival, Reason::UnknownMethod { modern: true }, id));
    };
    let asking = arrival.plane.servers().filter(|upstream| {
        let about = upstream.catalogue.about();
        about.is_some_and(|about| about.capabilities["tasks"].get("list").is_some())
    });
    let asking = asking.map(|upstream| {
        let call = super::quiet::call(worker, &arrival.plane, upstream, &arrival.principal, Default::default());
        let handles = handles_of(worker, &call, Some(posted.original()));
        let whole = &whole.session;
        let of_one = async move {
            let Ok(part) = lists::part(worker, upstream, whole).await else { return Vec::new() };
            of_one(worker, upstream, &part, handles).await
        };
        async move { tokio::time::timeout(limit::EVERYBODY, of_one).await.unwrap_or_default() }
    });
    let mut all = BytesMut::from(&br#"{"tasks":["#[..]);
    for tasks in join_all(asking).await.into_iter().flatten() {
        if all.last() != Some(&b'[') {
            all.extend_from_slice(b",");
        }
        all.extend_from_slice(&tasks);
    }
    all.extend_from_slice(b"]}");
    Ok(own_result(arrival, &posted, &all))
}

/// One server's tasks, page by page: the members of each page's array. A server that cannot be asked has none to show now.
async fn of_one(
    worker: &Rc<Worker>,
    upstream: &std::sync::Arc<Upstream>,
    part: &std::sync::Arc<Session>,
    handles: Handles,
) -> Vec<Bytes> {
    let mut pages = Vec::new();
    let mut cursor: Option<Bytes> = None;
    for _ in 0..limit::LIST_PAGES {
        let mut body =
            format!(r#"{{"jsonrpc":"2.0","id":"sluice-tasks","method":"{}","params":{{"#, Method::TasksList.as_str())
                .into_bytes();
        if let Some(cursor) = &cursor {
            body.extend_from_slice(br#""cursor":"#);
            body.extend_from_slice(cursor);
        }
        body.extend_from_slice(b"}}");
        let Ok(answer) = ask_part(worker, upstream, part, body.into(), None).await else { break };
        let Ok(message) = scan(&answer, ScanLimits { depth: u16::MAX }) else { break };
        cursor = message.r.next_cursor.map(|span| answer.slice(span.range())).filter(|c| c.starts_with(b"\""));
        let own = handles.own_tasks(&answer).unwrap_or(answer);
        let sealed = edited(&own, &mut handles.sealing(&own));
        let Ok(message) = scan(&sealed, ScanLimits { depth: u16::MAX }) else { break };
        let Some(result) = message.result.map(|span| sealed.slice(span.range())) else { break };
        if let Ok(Some(tasks)) = member(&result, "tasks") {
            let members = result.slice(tasks.range());
            let members =
                members.strip_prefix(b"[").and_then(|m| m.strip_suffix(b"]")).unwrap_or_default().trim_ascii();
            if !members.is_empty() {
                pages.push(Bytes::copy_from_slice(members));
            }
        }
        if cursor.is_none() {
            break;
        }
    }
    pages
}
