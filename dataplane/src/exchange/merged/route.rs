//! Which server a message concerns, and what of it changes on the way: names, URIs, references, marks.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::completion::{name_in_ref, uris_in_ref};
use sluice_mcp::names::{EXPOSED_NAME_CHARS, split_server};
use sluice_mcp::uri::{split_uri, template_matches};
use sluice_mcp::{Edit, Kind, Method, Span, decode_string};
use smallvec::SmallVec;

use super::{Client, lists, merged_of, token};
use crate::catalog::Kind as Kinds;
use crate::catalog::exposure::Naming;
use crate::exchange::call::{Arrival, Posted};
use crate::exchange::curation;
use crate::exchange::handles::unmarked;
use crate::exchange::permission::judge;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::upstream::Upstream;

/// Where a message goes.
pub(super) struct Route {
    pub upstream: Arc<Upstream>,
    /// The server's own name or URI of what is asked for, where the client knows it by another.
    pub name: Option<String>,
    pub edits: SmallVec<[Edit; 2]>,
    /// The edits change a tool's arguments.
    pub rearranged: bool,
}

impl Route {
    fn unchanged(upstream: &Arc<Upstream>) -> Self {
        Self { upstream: Arc::clone(upstream), name: None, edits: SmallVec::new(), rearranged: false }
    }

    /// The value at `span` is the server's `original` there.
    fn renamed(upstream: Arc<Upstream>, span: Span, exposed: &str, original: String) -> Self {
        let mut edits = SmallVec::new();
        if exposed == original {
            return Self { upstream, name: None, edits, rearranged: false };
        }
        edits.push(Edit { span, with: token(&original) });
        Self { upstream, name: Some(original), edits, rearranged: false }
    }
}

/// By `params.name`, a tool or a prompt.
pub(super) async fn by_name(
    worker: &Rc<Worker>,
    arrival: &mut Arrival,
    posted: &Posted,
    client: &Client,
    kind: Kinds,
) -> Result<Route, Reason> {
    let (span, exposed) = text(posted, posted.message.p.name).ok_or(Reason::NameMissing)?;
    let (upstream, original) = owner(worker, arrival, client, kind, &exposed).await?;
    judge(worker, arrival, upstream.name(), kind.object(&original), || kind.unknown(&exposed))?;
    let mut route = Route::renamed(upstream, span, &exposed, original);
    if kind == Kinds::Tools && !route.upstream.config.curation.tool_edits.is_empty() {
        let original = route.name.as_deref().unwrap_or(&exposed);
        let edits = curation::arguments(&route.upstream, original, posted)?;
        route.rearranged = !edits.is_empty();
        route.edits.extend(edits);
    }
    Ok(route)
}

/// The server that has an exposed name, and its own name for it.
async fn owner(
    worker: &Rc<Worker>,
    arrival: &Arrival,
    client: &Client,
    kind: Kinds,
    exposed: &str,
) -> Result<(Arc<Upstream>, String), Reason> {
    let unknown = || kind.unknown(exposed);
    let plane = &arrival.plane;
    if arrival.naming == Naming::Plain {
        let offer = lists::offer(worker, plane, &client.asker(), kind).await;
        let (server, original) = offer.owner(exposed).ok_or_else(unknown)?;
        return Ok((plane.server(server).cloned().ok_or_else(unknown)?, original.to_owned()));
    }
    let prefixed = split_server(exposed).and_then(|(server, rest)| Some((plane.server(server)?, rest)));
    let Some((upstream, rest)) = prefixed else {
        let only = plane.single().ok_or_else(unknown)?;
        return match lists_it(worker, only, client, &[kind], exposed).await {
            true => Ok((Arc::clone(only), exposed.to_owned())),
            false => Err(unknown()),
        };
    };
    let listed = |upstream: &Upstream| {
        let list = upstream.catalogue.known(&client.audience_of(upstream))?.list(kind)?;
        let list = Some(list).filter(|list| list.shown.naming == arrival.naming)?;
        Some(list.shown.find(exposed)?.original().to_owned())
    };
    if let Some(original) = listed(upstream) {
        return Ok((Arc::clone(upstream), original));
    }
    if exposed.chars().count() == EXPOSED_NAME_CHARS {
        // shortened: only the list knows what it stands for
        lists::refresh(worker, upstream, &client.asker(), kind).await;
        return listed(upstream).map(|original| (Arc::clone(upstream), original)).ok_or_else(unknown);
    }
    // Not listed (yet): the server itself knows best, unless the configuration decides.
    let hidden = !upstream.exposure.shows(kind, rest) || upstream.exposure.is_renamed(kind, rest, arrival.naming);
    let renamed = upstream.exposure.original(kind, rest);
    match renamed {
        Some(original) => Ok((Arc::clone(upstream), original)),
        None if hidden => Err(unknown()),
        None => Ok((Arc::clone(upstream), rest.to_owned())),
    }
}

/// Whether a server lists something under this name of its own (or a template it is made from) and shows it. Where there is
/// one server only, its own names lead to it, too; but a name that it does not list may have been another server's, which
/// is not told to this one.
async fn lists_it(worker: &Rc<Worker>, upstream: &Arc<Upstream>, client: &Client, kinds: &[Kinds], name: &str) -> bool {
    for kind in kinds {
        lists::refresh(worker, upstream, &client.asker(), *kind).await;
        let entry = upstream.catalogue.known(&client.audience_of(upstream));
        let Some(list) = entry.and_then(|entry| entry.list(*kind)) else { continue };
        let fits = |item: &str| item == name || (*kind == Kinds::Templates && template_matches(item, name));
        if list.shown.items.iter().any(|item| fits(item.original())) && upstream.exposure.shows(*kind, name) {
            return true;
        }
    }
    false
}

/// By `params.uri`, a resource.
pub(super) async fn by_uri(
    worker: &Rc<Worker>,
    arrival: &mut Arrival,
    posted: &Posted,
    client: &Client,
) -> Result<Route, Reason> {
    let (span, exposed) = text(posted, posted.message.p.uri).ok_or(Reason::NameMissing)?;
    let (upstream, original) = resource(worker, arrival, client, &exposed).await?;
    // what was subscribed to can be let go
    if posted.message.method != Method::ResourcesUnsubscribe {
        let unknown = || Kinds::Resources.unknown(&exposed);
        judge(worker, arrival, upstream.name(), Kinds::Resources.object(&original), unknown)?;
    }
    Ok(Route::renamed(upstream, span, &exposed, original))
}

/// The server that has a resource, and its own URI of it.
pub(super) async fn resource(
    worker: &Rc<Worker>,
    arrival: &Arrival,
    client: &Client,
    exposed: &str,
) -> Result<(Arc<Upstream>, String), Reason> {
    let unknown = || Kinds::Resources.unknown(exposed);
    let plane = &arrival.plane;
    if arrival.naming == Naming::Prefixed {
        let prefixed = split_uri(exposed).and_then(|(token, original)| Some((plane.by_token(&token)?, original)));
        let Some((upstream, original)) = prefixed else {
            let only = plane.single().ok_or_else(unknown)?;
            return match lists_it(worker, only, client, &[Kinds::Resources, Kinds::Templates], exposed).await {
                true => Ok((Arc::clone(only), exposed.to_owned())),
                false => Err(unknown()),
            };
        };
        return match upstream.shows_resource(&original) {
            true => Ok((Arc::clone(upstream), original)),
            false => Err(unknown()),
        };
    }
    let asker = client.asker();
    let listed = lists::offer(worker, plane, &asker, Kinds::Resources).await;
    if let Some((server, _)) = listed.owner(exposed) {
        return Ok((plane.server(server).cloned().ok_or_else(unknown)?, exposed.to_owned()));
    }
    let templates = lists::offer(worker, plane, &asker, Kinds::Templates).await;
    let fitting = templates.items().find(|(_, template)| template_matches(template, exposed));
    if let Some((server, _)) = fitting {
        let upstream = plane.server(server).ok_or_else(unknown)?;
        return match upstream.shows_resource(exposed) {
            true => Ok((Arc::clone(upstream), exposed.to_owned())),
            false => Err(unknown()),
        };
    }
    // listed nowhere: a link that some server gave out. Without prefixes only one server can be asked without guessing.
    let mut having = plane.servers().filter(|upstream| {
        let about = upstream.catalogue.about();
        about.is_none_or(|about| about.capabilities.get("resources").is_some())
    });
    match (having.next(), having.next()) {
        (Some(only), None) if only.shows_resource(exposed) => Ok((Arc::clone(only), exposed.to_owned())),
        _ => Err(unknown()),
    }
}

/// The server that something is of, and its own name or URI of it, as far as the configuration tells: lists are those of a session, which
/// may be elsewhere.
pub(crate) fn configured(plane: &Plane, naming: Naming, kind: Kinds, exposed: &str) -> Option<(Arc<Upstream>, String)> {
    let only = || Some((Arc::clone(plane.single()?), exposed.to_owned()));
    if naming != Naming::Prefixed {
        return only();
    }
    if matches!(kind, Kinds::Resources | Kinds::Templates) {
        let prefixed = split_uri(exposed).and_then(|(token, original)| Some((plane.by_token(&token)?, original)));
        return prefixed.map(|(upstream, original)| (Arc::clone(upstream), original)).or_else(only);
    }
    let Some((upstream, rest)) = split_server(exposed).and_then(|(server, rest)| Some((plane.server(server)?, rest)))
    else {
        return only();
    };
    if exposed.chars().count() == EXPOSED_NAME_CHARS {
        // shortened: only the list knows what it stands for
        return None;
    }
    let original = upstream.exposure.original(kind, rest).unwrap_or_else(|| rest.to_owned());
    Some((Arc::clone(upstream), original))
}

/// By what `completion/complete` refers to.
pub(super) async fn by_reference(
    worker: &Rc<Worker>,
    arrival: &mut Arrival,
    posted: &Posted,
    client: &Client,
) -> Result<Route, Reason> {
    if let Some((span, exposed)) = text(posted, name_in_ref(&posted.body, &posted.message)) {
        let (upstream, original) = owner(worker, arrival, client, Kinds::Prompts, &exposed).await?;
        let unknown = || Kinds::Prompts.unknown(&exposed);
        judge(worker, arrival, upstream.name(), Kinds::Prompts.object(&original), unknown)?;
        return Ok(Route { name: None, ..Route::renamed(upstream, span, &exposed, original) });
    }
    if let Some((span, exposed)) = text(posted, uris_in_ref(&posted.body, &posted.message)) {
        let (upstream, original) = template(worker, arrival, client, &exposed).await?;
        let unknown = || Kinds::Templates.unknown(&exposed);
        judge(worker, arrival, upstream.name(), Kinds::Templates.object(&original), unknown)?;
        return Ok(Route { name: None, ..Route::renamed(upstream, span, &exposed, original) });
    }
    Err(Reason::ReferenceMissing)
}

/// The server that has a template (or the resource of that URI), and its own spelling.
async fn template(
    worker: &Rc<Worker>,
    arrival: &Arrival,
    client: &Client,
    exposed: &str,
) -> Result<(Arc<Upstream>, String), Reason> {
    if arrival.naming == Naming::Plain {
        let templates = lists::offer(worker, &arrival.plane, &client.asker(), Kinds::Templates).await;
        if let Some((server, original)) = templates.owner(exposed) {
            let unknown = || Kinds::Templates.unknown(exposed);
            return Ok((arrival.plane.server(server).cloned().ok_or_else(unknown)?, original.to_owned()));
        }
    }
    resource(worker, arrival, client, exposed).await
}

/// By a task id, which says whose it is.
pub(super) fn by_task(arrival: &Arrival, posted: &Posted) -> Result<Route, Reason> {
    let (_, handle) = text(posted, posted.message.p.task_id).ok_or(Reason::HandleUnknown("taskId"))?;
    let server = handle.split_once('.').map(|(server, _)| server);
    let upstream = server.and_then(|server| arrival.plane.server(server));
    upstream.map(Route::unchanged).ok_or(Reason::HandleUnknown("taskId"))
}

/// By the token of a server's question (its id, its progress token), which says whose it is; `None` when no server of ours
/// can have asked by it.
pub(super) fn by_token(arrival: &Arrival, posted: &Posted, span: Option<Span>) -> Option<Route> {
    let span = span?;
    let (server, own) = unmarked(span.of(&posted.body)).filter(|(_, own)| is_token(own))?;
    let mut route = Route::unchanged(arrival.plane.server(&server)?);
    route.edits.push(Edit { span, with: own });
    Some(route)
}

/// Whether this is a JSON string or an integer, so that it may stand where an id stood.
fn is_token(raw: &[u8]) -> bool {
    let value = serde_json::from_slice::<serde_json::Value>(raw);
    value.is_ok_and(|value| value.is_string() || value.is_i64() || value.is_u64())
}

/// By the request that a cancellation names; `None` when it runs nowhere.
pub(super) fn by_request(arrival: &Arrival, posted: &Posted, client: &Client) -> Option<Route> {
    let Client::Legacy(whole) = client else { return None };
    let id: Bytes = posted.raw(posted.message.p.request_id)?;
    let server = merged_of(&whole.session).server_of(&id)?;
    debug_assert_eq!(posted.message.kind, Kind::Notification);
    arrival.plane.server(&server).map(Route::unchanged)
}

/// The text of a string token.
fn text(posted: &Posted, span: Option<Span>) -> Option<(Span, String)> {
    let span = span?;
    let raw = span.of(&posted.body);
    raw.starts_with(b"\"").then(|| (span, decode_string(raw).into_owned()))
}
