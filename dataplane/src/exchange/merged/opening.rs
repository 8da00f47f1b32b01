//! How clients begin with the merged door: `initialize` and `server/discover`, answered here from what is known of the
//! servers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use sluice_mcp::{Era, Method, Version, canonical_digest_input};
use sluice_snapshot::model::Protocol;
use tokio::task::JoinSet;

use super::asker::Asker;
use super::lists::{self};
use super::{Client, Stated, own_result, union};
use crate::auth::PrincipalId;
use crate::catalog::{Audience, Kind as Kinds};
use crate::clock::epoch_seconds;
use crate::exchange::call::{Arrival, Posted, Reply};
use crate::exchange::{Outcome, detection, pipe_server, refuse, sessions};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::session::{Merged, Opening, Session, SessionId};
use crate::upstream::pipe::NoChild;
use crate::upstream::{Carrier, Upstream};

/// `initialize`: a session begins here; servers are opened as they are needed, but those nothing is known of are asked now.
pub(super) async fn initialize(worker: &Rc<Worker>, mut arrival: Arrival, posted: Posted) -> Outcome {
    let (id, place, held) = sessions::admit(worker, &mut arrival, &posted, true)?;
    let session = SessionId::held_by(worker.node.peers.home);
    let owner = arrival.principal.id;
    arrival.principal.act_in(&session);
    let capabilities = posted.message.p.capabilities.map_or(&b"{}"[..], |span| span.of(&posted.body));
    let audience = audience(&arrival.plane, arrival.principal.id, session, capabilities);
    let opening = Opening {
        owner,
        principal: arrival.principal.id,
        subject: Arc::clone(&arrival.principal.subject),
        server: Arc::from(""),
        definition: Merged::DEFINITION,
        initialize: Bytes::copy_from_slice(&posted.body),
        declared: sessions::declared(&posted),
        upstream: None,
        place: None,
        version: None,
        attachment: None,
        merged: Some(Box::new(Merged::new(audience))),
        whole: None,
        created: epoch_seconds(),
        account: Some(place.keep()),
        held: Some(held),
    };
    let whole = Arc::new(Session::new(session, opening, worker.node.clock.ms()));
    let asker = Asker::Legacy(Arc::clone(&whole));
    let unfinished = Unfinished(Some(Arc::clone(&whole)));
    meet(worker, &arrival.plane, &asker).await;
    if let Some(supported) = only_modern(&arrival.plane, &asker) {
        let requested = posted.text(posted.message.p.protocol_version).unwrap_or_default();
        return Err(refuse(&mut arrival, Reason::ServerIsModern { requested, supported }, Some(id)));
    }
    if let Err(reason) = sessions::begin(worker, Arc::clone(&whole)).await {
        let (worker, plane) = (Rc::clone(worker), Arc::clone(&arrival.plane));
        tokio::task::spawn_local(async move { sessions::end(&worker, &plane, &whole).await });
        return Err(refuse(&mut arrival, reason, Some(id)));
    }
    unfinished.done();
    let requested = posted.text(posted.message.p.protocol_version).unwrap_or_default();
    let version = Version::parse(requested.as_bytes()).filter(|version| version.era() == Era::Legacy);
    let mut result = json!({
        "protocolVersion": version.unwrap_or(Version::V2025_11_25).as_str(),
        "capabilities": union::capabilities(&arrival.plane, &asker),
        "serverInfo": { "name": &*arrival.plane.snapshot.name, "version": env!("CARGO_PKG_VERSION") },
    });
    if let Some(instructions) = union::instructions(&arrival.plane, &asker) {
        result["instructions"] = instructions.into();
    }
    arrival.record.outcome = "ok";
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, String::from_utf8_lossy(&id));
    let sealed = session.sealed(&worker.node.seal, owner);
    Ok(Reply { session: Some(sealed), ..Reply::json(StatusCode::OK, body.into()) })
}

/// Whose lists a legacy client of this door sees.
pub(in crate::exchange) fn audience(
    plane: &Plane,
    principal: PrincipalId,
    session: SessionId,
    capabilities: &[u8],
) -> Audience {
    Audience { era: Era::Legacy, declared: declared_digest(capabilities), holder: plane.holder(principal, session.0) }
}

/// A session that is not answered for yet: unless it is, it is over, and so is what servers were opened for it.
struct Unfinished(Option<Arc<Session>>);

impl Unfinished {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.end();
        }
    }
}

/// The versions to name to a legacy client where no server takes `initialize`.
fn only_modern(plane: &Plane, asker: &Asker) -> Option<Vec<String>> {
    let mut versions = None;
    for upstream in plane.servers() {
        let entry = upstream.catalogue.entry(&asker.audience_of(upstream));
        let supported = match entry.failure() {
            Some(Reason::ServerIsModern { supported, .. }) => supported,
            _ if upstream.era.configured() == Protocol::Modern => vec![Version::V2026_07_28.as_str().to_owned()],
            _ => return None,
        };
        versions.get_or_insert(supported);
    }
    versions
}

/// Begins to ask the servers whose tools this client will want to see; by the time it lists them, most have answered.
/// Those nothing is known of at all are waited for, not longer than [`limit::OPENING_WAIT`].
async fn meet(worker: &Rc<Worker>, plane: &Arc<Plane>, asker: &Asker) {
    let now = Instant::now();
    let mut unknown = JoinSet::new();
    // with one legacy server the door takes `initialize`, whatever the others do
    let takes_all = matches!(asker, Asker::Modern(_)) || plane.servers().any(|upstream| upstream.era.is_legacy());
    for upstream in plane.servers() {
        let entry = upstream.catalogue.entry(&asker.audience_of(upstream));
        let known = asker.about(upstream);
        if known.is_some() && entry.good_until(Kinds::Tools, now).is_some() || entry.held_back(now).is_some() {
            continue;
        }
        let fetching = lists::begin(worker, upstream, asker, Kinds::Tools);
        // who did not answer before is not waited for again
        // one that was modern so far may take `initialize` as well, or not
        let is_known = known.is_some_and(|about| !about.modern || takes_all);
        if !is_known && entry.failure().is_none() {
            unknown.spawn_local(async move { drop(fetching.await) });
        }
    }
    let all = async { while unknown.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limit::OPENING_WAIT, all).await;
    unknown.detach_all();
}

/// `server/discover`: what the servers are together.
pub(super) async fn discover(worker: &Rc<Worker>, arrival: Arrival, posted: Posted, client: &Client) -> Outcome {
    let asker = client.asker();
    meet(worker, &arrival.plane, &asker).await;
    // policies show each principal its own servers
    let private = arrival.plane.permits.is_some() || union::is_private(&arrival.plane, &asker);
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": [Version::V2026_07_28.as_str()],
        "capabilities": union::capabilities(&arrival.plane, &asker),
        // servers come and go, and so does what they can
        "ttlMs": limit::DISCOVERY_TTL.as_millis() as u64,
        "cacheScope": if private { "private" } else { "public" },
        "_meta": { "io.modelcontextprotocol/serverInfo": {
            "name": &*arrival.plane.snapshot.name, "version": env!("CARGO_PKG_VERSION")
        }},
    });
    if let Some(instructions) = union::instructions(&arrival.plane, &asker) {
        result["instructions"] = instructions.into();
    }
    Ok(own_result(arrival, &posted, result.to_string().as_bytes()))
}

/// Whether the door is a modern one: all its servers speak the modern era. With one that does not, `server/discover` and
/// lists say so, and clients of both eras go back to `initialize`, where they get all servers; calls to servers that do are
/// served. So does discovery while a server has not said which era it speaks, because a client does not come back from its
/// choice; a server that cannot be reached at all, or is silent for longer than any takes to start, has no say.
pub(super) async fn modern_door(
    worker: &Rc<Worker>,
    plane: &Arc<Plane>,
    stated: &Stated,
    method: Method,
) -> Result<(), Reason> {
    let discovery = method == Method::ServerDiscover;
    if !discovery && !method.is_list() {
        return Ok(());
    }
    let now = worker.node.clock.ms();
    if plane.is_modern(now) {
        return Ok(());
    }
    if !plane.servers().any(|upstream| upstream.era.is_legacy()) {
        let unknown: Vec<_> = plane.servers().filter(|upstream| is_unknown(upstream)).collect();
        if !unknown.is_empty() {
            Box::pin(find_out(worker, unknown, stated)).await;
        }
    }
    let undecided = |upstream: &&Arc<Upstream>| {
        let starting =
            || upstream.catalogue.known(&stated.audience_of(upstream)).is_none_or(|entry| entry.may_be_starting());
        discovery && is_unknown(upstream) && starting()
    };
    match plane.servers().find(|upstream| upstream.era.is_legacy() || undecided(upstream)) {
        Some(server) => Err(Reason::DoorIsLegacy(server.name().to_string())),
        None => {
            if !plane.servers().any(is_unknown) {
                plane.found_modern(now);
            }
            Ok(())
        }
    }
}

/// Whether nothing is known of a server's era.
fn is_unknown(upstream: &Arc<Upstream>) -> bool {
    upstream.era.configured() == Protocol::Auto && upstream.era.modern().is_none() && !upstream.era.is_legacy()
}

/// Asks servers for their eras, all at once, and waits not longer than [`limit::OPENING_WAIT`], for processes than
/// [`limit::DISCOVERY_WAIT`]; for those that did not answer before, hardly at all.
async fn find_out(worker: &Rc<Worker>, servers: Vec<&Arc<Upstream>>, stated: &Stated) {
    let (mut asked, now) = (JoinSet::new(), Instant::now());
    for &upstream in &servers {
        let entry = upstream.catalogue.entry(&stated.audience_of(upstream));
        if entry.held_back(now).is_some() {
            continue;
        }
        let wait = match upstream.carrier() {
            _ if entry.failure().is_some() => limit::LIST_AGAIN_WAIT,
            Carrier::Pipe => limit::DISCOVERY_WAIT,
            Carrier::Requests => limit::OPENING_WAIT,
        };
        let (worker, upstream) = (Rc::clone(worker), Arc::clone(upstream));
        let asking = tokio::task::spawn_local(async move {
            match upstream.carrier() {
                Carrier::Requests => detection::is_modern(&worker, &upstream, now).await.err(),
                Carrier::Pipe => {
                    let child = upstream.children.modern(&upstream.era).await;
                    pipe_server::note(&upstream, child.as_ref().err());
                    match child {
                        Err(NoChild::Reason(reason)) => Some(reason),
                        _ => None,
                    }
                }
            }
        });
        asked.spawn_local(async move {
            let failed = match tokio::time::timeout(wait, asking).await {
                Ok(answered) => answered.ok().flatten().filter(|reason| *reason != Reason::ServerIsLegacy),
                Err(_) => Some(Reason::ServerSilent),
            };
            if let Some(reason) = failed {
                entry.fail(Kinds::Tools, reason);
            }
        });
    }
    // one that is legacy decides
    while asked.join_next().await.is_some() && !servers.iter().any(|upstream| upstream.era.is_legacy()) {}
    asked.detach_all();
}

/// A digest of declared capabilities; `None` for none.
pub(super) fn declared_digest(capabilities: &[u8]) -> Option<[u8; 16]> {
    let canonical = canonical_digest_input(capabilities);
    if canonical == b"{}" {
        return None;
    }
    let hash = digest::digest(&digest::SHA256, &canonical);
    let mut short = [0; 16];
    short.copy_from_slice(&hash.as_ref()[..16]);
    Some(short)
}
