//! What the configuration says of a server's offer, applied to one call: what is hidden is unknown, and arguments that are
//! set are set. It holds on every door; names are changed on the merged door only.

use std::sync::Arc;

use bytes::Bytes;
use sluice_mcp::completion::{name_in_ref, uris_in_ref};
use sluice_mcp::curate::edit_arguments;
use sluice_mcp::path::member;
use sluice_mcp::{Edit, Kind as MessageKind, Message, Method, ScanLimits, Span, decode_string, list_page, scan};
use smallvec::SmallVec;

use super::call::Posted;
use super::relay::edited;
use crate::auth::permits::Permits;
use crate::catalog::exposure::Naming;
use crate::catalog::{Exposure, Kind};
use crate::reason::Reason;
use crate::upstream::Upstream;

/// Applies it to a request on the server's own door.
///
/// # Errors
/// What the server itself would say of something it does not have; [`Reason::BadArguments`].
pub(super) fn apply(upstream: &Arc<Upstream>, posted: &mut Posted) -> Result<(), Reason> {
    let exposure = &upstream.exposure;
    let hidden = |kind: Kind, span: Option<Span>| {
        let name = posted.text(span)?;
        (!exposure.shows(kind, &name)).then(|| kind.unknown(&name))
    };
    let message = &posted.message;
    let refused = match message.method {
        Method::ToolsCall => hidden(Kind::Tools, message.p.name),
        Method::PromptsGet => hidden(Kind::Prompts, message.p.name),
        Method::ResourcesRead | Method::ResourcesSubscribe => {
            let uri = posted.text(message.p.uri);
            uri.filter(|uri| !upstream.shows_resource(uri)).map(|uri| Kind::Resources.unknown(&uri))
        }
        Method::CompletionComplete => {
            let (prompt, uri) = (name_in_ref(&posted.body, message), uris_in_ref(&posted.body, message));
            match (prompt, uri) {
                // a reference that cannot be judged is not passed on: the server might read it otherwise
                (None, None) => Some(Reason::ReferenceMissing),
                (prompt, uri) => hidden(Kind::Prompts, prompt).or_else(|| hidden(Kind::Templates, uri)),
            }
        }
        _ => None,
    };
    if let Some(reason) = refused {
        return Err(reason);
    }
    narrow(posted, |uri| upstream.shows_resource(uri))?;
    let message = &posted.message;
    if message.method == Method::ToolsCall
        && let Some(name) = posted.text(message.p.name)
    {
        let edits = arguments(upstream, &name, posted)?;
        posted.rearranged |= !edits.is_empty();
        posted.edits.extend(edits);
    }
    Ok(())
}

/// Takes out of a `subscriptions/listen` the resources that are not shown.
///
/// # Errors
/// [`Reason::FilterMissing`] for a filter that cannot be judged.
pub(super) fn narrow(posted: &mut Posted, shows: impl Fn(&str) -> bool) -> Result<(), Reason> {
    let filter = posted.message.p.notifications.filter(|_| posted.message.method == Method::SubscriptionsListen);
    let Some(filter) = filter else { return Ok(()) };
    let named = member(filter.of(&posted.body), "resourceSubscriptions").map_err(|_| Reason::FilterMissing)?;
    let Some(inner) = named else { return Ok(()) };
    let span = Span { start: filter.start + inner.start, end: filter.start + inner.end };
    // what was left out already stays out
    let asked = posted.sent(Some(span)).unwrap_or_default();
    let asked: Vec<serde_json::Value> = serde_json::from_slice(&asked).map_err(|_| Reason::FilterMissing)?;
    let shown: Vec<&str> = asked.iter().filter_map(serde_json::Value::as_str).filter(|uri| shows(uri)).collect();
    if shown.len() < asked.len() {
        let with = serde_json::json!(shown).to_string().into();
        posted.edits.retain(|edit| edit.span != span);
        posted.edits.push(Edit { span, with });
    }
    Ok(())
}

/// The edits that set the arguments the configuration sets for a tool, by the server's own name of it.
pub(super) fn arguments(upstream: &Upstream, tool: &str, posted: &Posted) -> Result<SmallVec<[Edit; 4]>, Reason> {
    let mut edits = SmallVec::new();
    let Some(edit) = upstream.config.curation.tool_edits.get(tool) else { return Ok(edits) };
    let defaults: Vec<_> = edit.defaults.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let forced: Vec<_> = edit.forced.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    if defaults.is_empty() && forced.is_empty() {
        return Ok(edits);
    }
    edit_arguments(&posted.body, &posted.message, &defaults, &forced, &mut edits)
        .map_err(|error| Reason::BadArguments(error.to_string()))?;
    Ok(edits)
}

/// A page of a list on the server's own door without what is hidden or not listed for this principal, the rest as the
/// configuration describes it; `None` when nothing of it changes.
///
/// # Errors
/// [`Reason::ServerGarbage`] for a page that cannot be judged: it may hold what is hidden.
pub(super) fn page(
    exposure: &Exposure,
    permits: Option<&Permits>,
    request: &Message,
    body: &Bytes,
) -> Result<Option<Bytes>, Reason> {
    let Some(kind) = Kind::of(request.method) else { return Ok(None) };
    let server = exposure.server();
    let curates = !exposure.curation().is_empty();
    let filters = permits.is_some_and(|permits| !permits.list_all(server));
    if !curates && permits.is_none() {
        return Ok(None);
    }
    let garbage = || Reason::ServerGarbage("a list");
    let message = scan(body, ScanLimits { depth: u16::MAX }).map_err(|_| garbage())?;
    let Some(result) = message.result.filter(|_| message.kind == MessageKind::Response) else { return Ok(None) };
    let page = list_page(body, &message, request.method).map_err(|_| garbage())?;
    let mut edits: SmallVec<[Edit; 2]> = SmallVec::new();
    if let (Some(first), Some(last)) = (page.items.first(), page.items.last())
        && (curates || filters)
    {
        let mut shown = Vec::with_capacity(body.len());
        for item in &page.items {
            let name = decode_string(item.name.of(body));
            let listed = !filters || permits.is_some_and(|permits| permits.lists(server, kind.object(&name)));
            if !listed || !exposure.shows(kind, &name) {
                continue;
            }
            if !shown.is_empty() {
                shown.push(b',');
            }
            let json = body.slice(item.span.range());
            shown.extend_from_slice(&exposure.item(kind, &name, &json, &name, Naming::Own));
        }
        edits.push(Edit { span: Span { start: first.span.start, end: last.span.end }, with: shown.into() });
    }
    // another principal may be shown another list, this one's whole or not
    if permits.is_some()
        && let Some(scope) = member(result.of(body), "cacheScope").map_err(|_| garbage())?
    {
        let span = Span { start: result.start + scope.start, end: result.start + scope.end };
        edits.push(Edit { span, with: Bytes::from_static(b"\"private\"") });
    }
    Ok((!edits.is_empty()).then(|| edited(body, &mut edits)))
}
