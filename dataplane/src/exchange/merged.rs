//! The merged door: all servers as one. What it answers itself, what goes to the one server it concerns, and what goes to
//! all, readable from top to bottom; the legacy and the modern era differ only in who asks ([`Client`]).

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use sluice_mcp::path::member;
use sluice_mcp::{Era, Kind, Method, Span, Version, encode_string, error_body};

mod asker;
mod everybody;
mod gather;
mod listen;
mod lists;
mod opening;
mod quiet;
mod route;
mod seen;
mod tasks;
mod union;

use super::call::{Arrival, Posted, Refusal, Reply};
use super::resumption::{Anew, Resumed};
use super::{
    Outcome, check_modern_message, find_session, handed, http_server, permission, pipe_server, refuse, resumption,
    sessions,
};
use crate::catalog::{Audience, Holder, Kind as Kinds};
use crate::node::Worker;
use crate::reason::Reason;
use crate::session::{InUse, Merged, Requests, Session};
use crate::upstream::{Carrier, Upstream};
pub(super) use opening::audience;
use route::Route;
pub(super) use route::configured;

/// Who asks.
enum Client {
    /// A client inside a session of this door.
    Legacy(InUse),
    /// A modern client: its request says everything.
    Modern(Stated),
}

/// What a modern request says of its client, as raw JSON.
#[derive(Clone)]
struct Stated {
    /// The request, and where the members of `_meta` that every request must carry stand in it.
    body: Bytes,
    said: [(&'static str, Option<Span>); 3],
    /// That of the door's lists.
    audience: Audience,
    /// Who the client is, where servers' lists are for those only who ask.
    alone: Holder,
}

impl Client {
    /// The audience of one server's lists the client belongs to.
    fn audience_of(&self, upstream: &Upstream) -> Audience {
        self.asker().audience_of(upstream)
    }

    /// Whether requests of the client may run on other nodes.
    fn may_be_served_elsewhere(&self) -> bool {
        matches!(self, Self::Legacy(whole) if whole.session.tie.is_kept())
    }

    /// On whose behalf servers are asked for lists, also after the request is answered.
    fn asker(&self) -> asker::Asker {
        match self {
            Self::Legacy(whole) => asker::Asker::Legacy(Arc::clone(&whole.session)),
            Self::Modern(stated) => asker::Asker::Modern(stated.clone()),
        }
    }
}

/// What a session of this door has beyond others.
fn merged_of(session: &Session) -> &Merged {
    session.merged.as_deref().expect("only sessions of the merged door are found by `Merged::DEFINITION`")
}

/// A POSTed message.
pub(super) async fn post(worker: &Rc<Worker>, mut arrival: Arrival, posted: Posted, era: Era) -> Outcome {
    let client = match era {
        Era::Legacy if posted.message.method == Method::Initialize => {
            return opening::initialize(worker, arrival, posted).await;
        }
        Era::Legacy => match find_session(worker, &arrival, Merged::DEFINITION).await {
            Ok(whole) => {
                arrival.principal.act_in(&whole.session.id);
                Client::Legacy(whole)
            }
            Err(Reason::SessionElsewhere(home)) => {
                return match permission::count(worker, &mut arrival, &posted) {
                    Ok(()) => handed::post(worker, arrival, posted, home).await,
                    Err(reason) => Err(refuse(&mut arrival, reason, posted.id())),
                };
            }
            Err(reason) => return Err(refuse(&mut arrival, reason, posted.id())),
        },
        Era::Modern => {
            if let Err(reason) = check_modern_message(&arrival, &posted, None).and_then(|()| judged_here(&posted)) {
                return Err(refuse(&mut arrival, reason, posted.id()));
            }
            if posted.message.kind == Kind::Notification {
                // a modern client has no notification to send over HTTP but its own methods'
                return Ok(Reply::empty(StatusCode::ACCEPTED));
            }
            let stated = Stated::of(&arrival, &posted);
            let judged = opening::modern_door(worker, &arrival.plane, &stated, posted.message.method).await;
            if let Err(reason) = judged {
                return Err(refuse(&mut arrival, reason, posted.id()));
            }
            Client::Modern(stated)
        }
    };
    let mut concerned = None;
    match answer(worker, arrival, posted, client, &mut concerned).await {
        // the door is well; one of its servers is not, and clients take an error status for a broken transport
        Err(Refusal { reason, id: Some(id) }) if reason.is_the_servers() => {
            let text = reason.text_of(concerned.as_deref());
            let body = error_body(Some(&id), reason.row().code, &text, reason.data().as_deref());
            Ok(Reply::json(StatusCode::OK, body.into()))
        }
        answered => answered,
    }
}

/// What this door answers itself, it must understand: a later revision is a server's own business on its own door only. It
/// also needs what every request must say, because it asks servers on the client's behalf.
fn judged_here(posted: &Posted) -> Result<(), Reason> {
    if posted.message.kind != Kind::Request {
        return Ok(());
    }
    let requested = posted.text(posted.message.p.meta_protocol_version).unwrap_or_default();
    if Version::parse(requested.as_bytes()).is_none() {
        let supported = vec![Version::V2026_07_28.as_str().to_owned()];
        return Err(Reason::UnsupportedVersion { requested, supported });
    }
    let declared = posted.message.p.meta_client_capabilities.map(|span| span.of(&posted.body));
    let Some(declared) = declared.filter(|raw| raw.starts_with(b"{")) else {
        return Err(Reason::MissingMeta("io.modelcontextprotocol/clientCapabilities"));
    };
    match posted.message.method {
        // of the legacy era
        Method::Ping
        | Method::LoggingSetLevel
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::TasksResult
        | Method::TasksList => Err(Reason::UnknownMethod { modern: true }),
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel if !declares_tasks(declared) => {
            Err(Reason::NoTasks)
        }
        _ => Ok(()),
    }
}

/// Whether a client declared the tasks extension.
fn declares_tasks(capabilities: &[u8]) -> bool {
    let declared = member(capabilities, "extensions").ok().flatten().map(|span| span.of(capabilities));
    declared.is_some_and(|extensions| matches!(member(extensions, "io.modelcontextprotocol/tasks"), Ok(Some(_))))
}

/// Where a message of the client goes; `concerned` is the server it turns out to concern.
async fn answer(
    worker: &Rc<Worker>,
    mut arrival: Arrival,
    posted: Posted,
    client: Client,
    concerned: &mut Option<Arc<str>>,
) -> Outcome {
    let told = match (posted.message.kind, posted.message.method) {
        // an answer to a server's question names the server
        (Kind::Response, _) => Some(route::by_token(&arrival, &posted, posted.message.id)),
        (_, Method::NotificationProgress) => Some(route::by_token(&arrival, &posted, posted.message.p.progress_token)),
        (_, Method::NotificationCancelled) => Some(route::by_request(&arrival, &posted, &client)),
        _ => None,
    };
    if let Some(route) = told {
        // without a route nobody asked, or whoever did is gone, or the request is answered already
        let Some(route) = route else {
            if posted.message.method == Method::NotificationCancelled && client.may_be_served_elsewhere() {
                // which server has the request, the node knows that it came to
                return everybody::tell(worker, arrival, posted, client).await;
            }
            return Ok(accepted(arrival));
        };
        return forward(worker, arrival, posted, client, route).await;
    }
    let routed = match (posted.message.kind, posted.message.method) {
        (_, Method::Ping) => return Ok(own_result(arrival, &posted, b"{}")),
        (_, Method::ServerDiscover) => return opening::discover(worker, arrival, posted, &client).await,
        (_, method) if method.is_list() => return lists::answer(worker, arrival, posted, &client).await,
        (_, Method::ToolsCall) => route::by_name(worker, &mut arrival, &posted, &client, Kinds::Tools).await,
        (_, Method::PromptsGet) => route::by_name(worker, &mut arrival, &posted, &client, Kinds::Prompts).await,
        (_, Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe) => {
            route::by_uri(worker, &mut arrival, &posted, &client).await
        }
        (_, Method::CompletionComplete) => route::by_reference(worker, &mut arrival, &posted, &client).await,
        (_, Method::SubscriptionsListen) => return listen::open(worker, arrival, posted, client).await,
        (_, Method::TasksList) => return tasks::list(worker, arrival, posted, client).await,
        (_, Method::TasksGet | Method::TasksResult | Method::TasksCancel | Method::TasksUpdate) => {
            route::by_task(&arrival, &posted)
        }
        (_, Method::LoggingSetLevel | Method::NotificationRootsListChanged) => {
            return everybody::tell(worker, arrival, posted, client).await;
        }
        // what parts of the session need is sent when they open
        (_, Method::NotificationInitialized) => return Ok(accepted(arrival)),
        (Kind::Notification, _) => {
            worker.node.metrics.undeliverable.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(accepted(arrival));
        }
        (Kind::Request | Kind::Response, _) => {
            Err(Reason::UnknownMethod { modern: matches!(client, Client::Modern(_)) })
        }
    };
    match routed {
        Ok(route) => {
            *concerned = Some(Arc::clone(route.upstream.name()));
            forward(worker, arrival, posted, client, route).await
        }
        Err(reason) => {
            permission::note_unfound(worker, &mut arrival, &posted);
            Err(refuse(&mut arrival, reason, posted.id()))
        }
    }
}

/// Hands a message to the one server it concerns, as if the client had come through that server's own door.
async fn forward(
    worker: &Rc<Worker>,
    mut arrival: Arrival,
    mut posted: Posted,
    client: Client,
    route: Route,
) -> Outcome {
    let Route { upstream, name, edits, rearranged } = route;
    posted.name = name;
    posted.edits = edits.into_vec();
    posted.rearranged = rearranged;
    match client {
        Client::Legacy(whole) => {
            // noted before the server is open: a cancellation may come meanwhile
            let request = posted.id().filter(|_| posted.message.kind == Kind::Request);
            let merged = merged_of(&whole.session);
            if let Some(id) = &request {
                merged.sent(id, upstream.name());
            }
            let part = match lists::part(worker, &upstream, &whole.session).await {
                Ok(part) => part,
                Err(reason) => {
                    if let Some(id) = &request {
                        merged.answered(id);
                    }
                    arrival.record.upstream = Some(upstream);
                    return Err(refuse(&mut arrival, reason, posted.id()));
                }
            };
            let in_use = whole.part(&part, request.map_or(Requests::None, Requests::One));
            let call = arrival.towards(upstream);
            match call.upstream.carrier() {
                Carrier::Requests => http_server::legacy(worker, call, posted, in_use).await,
                Carrier::Pipe => pipe_server::legacy(worker, call, posted, in_use).await,
            }
        }
        Client::Modern(stated) => {
            if let Err(reason) = lists::answers(worker, &upstream, &stated).await {
                arrival.record.upstream = Some(upstream);
                return Err(refuse(&mut arrival, reason, posted.id()));
            }
            let call = arrival.towards(upstream);
            match call.upstream.carrier() {
                Carrier::Requests => http_server::modern(worker, call, posted).await,
                Carrier::Pipe => pipe_server::modern(worker, call, posted).await,
            }
        }
    }
}

/// A GET: the session's standalone stream, which gathers those of its parts, or the resumption of one of them.
pub(super) async fn get(worker: &Rc<Worker>, mut arrival: Arrival) -> Outcome {
    let whole = match stream_session(worker, &arrival).await {
        Ok(whole) => whole,
        Err(Reason::SessionElsewhere(home)) => return handed::bare(worker, arrival, Verb::GET, home).await,
        Err(reason) => return Err(refuse(&mut arrival, reason, None)),
    };
    arrival.principal.act_in(&whole.session.id);
    let comes_back = arrival.headers.has(sluice_mcp::header::LAST_EVENT_ID);
    let Anew { call: mut arrival, in_use: whole, positions } = match resumption::resume(worker, arrival, whole).await {
        Resumed::Here(outcome) => return outcome,
        Resumed::Anew(anew) => anew,
    };
    match arrival.headers.get(sluice_mcp::header::LAST_EVENT_ID) {
        None => gather::open(worker, arrival, whole, positions, comes_back).await,
        Some(last) => {
            // an event has an id only where it came from one server's numbered stream, and says which
            let server = std::str::from_utf8(last)
                .ok()
                .and_then(|last| last.split_once('.'))
                .map(|(server, _)| server.to_owned());
            let upstream = server.and_then(|server| arrival.plane.server(&server).cloned());
            let part = upstream.as_ref().and_then(|u| merged_of(&whole.session).open_part(u.name()));
            let (Some(upstream), Some(part)) = (upstream, part) else {
                return Err(refuse(&mut arrival, Reason::EventIdUnknown, None));
            };
            let in_use = whole.part(&part, Requests::Answered);
            let call = arrival.towards(upstream);
            match call.upstream.carrier() {
                Carrier::Requests => http_server::get(worker, call, in_use, comes_back).await,
                Carrier::Pipe => pipe_server::get(worker, call, in_use, comes_back).await,
            }
        }
    }
}

/// A DELETE: the client ends its session, and with it all its parts.
pub(super) async fn delete(worker: &Rc<Worker>, mut arrival: Arrival) -> Outcome {
    let whole = match stream_session(worker, &arrival).await {
        Ok(whole) => whole,
        Err(Reason::SessionElsewhere(home)) => return handed::bare(worker, arrival, Verb::DELETE, home).await,
        Err(reason) => return Err(refuse(&mut arrival, reason, None)),
    };
    match sessions::remove(worker, &whole.session).await {
        // also of servers that policies have taken out of reach since
        Ok(true) => sessions::end(worker, &worker.plane(), &whole.session).await,
        Ok(false) => {}
        Err(reason) => return Err(refuse(&mut arrival, reason, None)),
    }
    arrival.record.outcome = "ok";
    Ok(Reply::empty(StatusCode::OK))
}

/// The session of a GET or DELETE; a modern client has none to name.
async fn stream_session(worker: &Worker, arrival: &Arrival) -> Result<InUse, Reason> {
    match find_session(worker, arrival, Merged::DEFINITION).await {
        Err(Reason::SessionMissing) if super::is_modern_client(&arrival.headers) => {
            Err(Reason::MethodNotAllowed("POST"))
        }
        found => found,
    }
}

/// A result of our own.
fn own_result(mut arrival: Arrival, posted: &Posted, result: &[u8]) -> Reply {
    arrival.record.outcome = "ok";
    let Some(id) = posted.id() else { return Reply::empty(StatusCode::ACCEPTED) };
    let mut body = Vec::with_capacity(40 + id.len() + result.len());
    body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    body.extend_from_slice(&id);
    body.extend_from_slice(br#","result":"#);
    body.extend_from_slice(result);
    body.push(b'}');
    Reply::json(StatusCode::OK, body.into())
}

fn accepted(mut arrival: Arrival) -> Reply {
    arrival.record.outcome = "ok";
    arrival.record.status = StatusCode::ACCEPTED;
    Reply::empty(StatusCode::ACCEPTED)
}

/// A text as a JSON token.
fn token(text: &str) -> Bytes {
    encode_string(text).into()
}
