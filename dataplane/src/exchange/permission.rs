//! Policies applied to messages: what a principal may do with what it asks for, within which limits. What is denied is
//! answered as if it did not exist, unless the principal sees it in lists; no server hears of it.

use std::sync::Arc;

use sluice_mcp::completion::{name_in_ref, uris_in_ref};
use sluice_mcp::{Kind as MessageKind, Method, Span, decode_string, split_server, split_uri};
use sluice_snapshot::policy::{Decision, Object};

use super::call::{Arrival, Call, Posted, Scope};
use super::curation;
use super::merged::configured;
use super::record::Record;
use crate::auth::Principal;
use crate::auth::meters::Reached;
use crate::catalog::Kind;
use crate::limit;
use crate::node::Worker;
use crate::observe::denials::{Denied, Who};
use crate::plane::Plane;
use crate::reason::Reason;
use crate::upstream::Upstream;

/// What the log says where no rule denies something, and none allows it: all policies together do.
const ALL_POLICIES: &str = "policies";

/// Judges a call of something of a server, by the server's own name of it. `unknown` is the answer where the client is not to
/// know that it exists.
///
/// # Errors
/// `unknown`, [`Reason::NotAllowed`], [`Reason::InsufficientScope`], and where a limit is reached [`Reason::RateLimited`] or
/// [`Reason::TooManyInFlight`].
pub(super) fn judge<To>(
    worker: &Worker,
    call: &mut Call<To>,
    server: &Arc<str>,
    object: Object<'_>,
    unknown: impl FnOnce() -> Reason,
) -> Result<(), Reason> {
    let Some(permits) = &call.plane.permits else { return Ok(()) };
    let verdict = permits.verdict(server, object);
    let decision = match &verdict {
        Some(verdict) => verdict.call(call.principal.scopes.as_deref()),
        None => Decision::Hidden { by: None },
    };
    let by = decision.by().map(|rule| &rule.source);
    let (reason, why, by) = match decision {
        Decision::Allowed { limits: [], .. } => return Ok(()),
        Decision::Allowed { limits, .. } => {
            let object = (server, object.name());
            let (via, now) = (call.ticket.via, call.record.started());
            match worker.node.meters.admit(limits, &call.principal.subject, object, via, now) {
                Ok(places) => {
                    call.ticket.hold(places);
                    return Ok(());
                }
                Err(Reached { limit, retry_after_ms: Some(retry_after_ms) }) => {
                    (Reason::RateLimited { retry_after_ms }, "rate_limited", Some(&limit.source))
                }
                Err(Reached { limit, retry_after_ms: None }) => {
                    (Reason::TooManyInFlight, "too_many_in_flight", Some(&limit.source))
                }
            }
        }
        Decision::Hidden { .. } => (unknown(), "hidden", by),
        Decision::Denied { .. } => (Reason::NotAllowed, "denied", by),
        Decision::InsufficientScope { by: rule } => {
            (Reason::InsufficientScope(Arc::clone(&rule.scopes)), "insufficient_scope", by)
        }
    };
    let rule = by.cloned().unwrap_or_else(|| ALL_POLICIES.into());
    call.record.rule = Some(Arc::clone(&rule));
    tell(worker, &call.principal, call.record.method, server, object, why, rule);
    Err(reason)
}

/// Takes a message that another node is about to judge from the limits that cover it, by this node's share of them. It is the other's to say
/// whether it may be at all.
///
/// # Errors
/// [`Reason::RateLimited`] or [`Reason::TooManyInFlight`].
pub(crate) fn count(worker: &Worker, arrival: &mut Arrival, posted: &Posted) -> Result<(), Reason> {
    let Some(permits) = arrival.plane.permits.clone() else { return Ok(()) };
    let message = &posted.message;
    let asked = match message.method {
        Method::ToolsCall => message.p.name.map(|span| (Kind::Tools, span)),
        Method::PromptsGet => message.p.name.map(|span| (Kind::Prompts, span)),
        Method::ResourcesRead | Method::ResourcesSubscribe => message.p.uri.map(|span| (Kind::Resources, span)),
        Method::CompletionComplete => {
            let template = || uris_in_ref(&posted.body, message).map(|span| (Kind::Templates, span));
            name_in_ref(&posted.body, message).map(|span| (Kind::Prompts, span)).or_else(template)
        }
        _ => None,
    };
    let Some((kind, span)) = asked else { return Ok(()) };
    let exposed = decode_string(span.of(&posted.body));
    let found = match &arrival.upstream {
        Scope::Server(upstream) => Some((Arc::clone(upstream), exposed.into_owned())),
        Scope::Merged => configured(&arrival.plane, arrival.naming, kind, &exposed),
    };
    let Some((upstream, name)) = found else { return Ok(()) };
    let verdict = permits.verdict(upstream.name(), kind.object(&name));
    let decision = verdict.as_ref().map(|verdict| verdict.call(arrival.principal.scopes.as_deref()));
    match decision {
        Some(Decision::Allowed { .. }) => {
            judge(worker, arrival, upstream.name(), kind.object(&name), || kind.unknown(&name))
        }
        _ => Ok(()),
    }
}

/// Notes that a server was asked for that is out of the principal's reach, so that for it there is none.
pub(crate) fn out_of_reach(worker: &Worker, principal: &Principal, record: &mut Record, server: &Arc<str>) {
    let rule: Arc<str> = ALL_POLICIES.into();
    record.rule = Some(Arc::clone(&rule));
    tell(worker, principal, record.method, server, Object::Server, "hidden", rule);
}

/// The same on the merged door, where something was not found: its name says which server it would be of.
pub(super) fn note_unfound(worker: &Worker, arrival: &mut Arrival, posted: &Posted) {
    let Some(permits) = arrival.plane.permits.clone().filter(|_| arrival.record.rule.is_none()) else { return };
    let plane = worker.plane();
    let message = &posted.message;
    let named = || {
        let name = posted.text(message.p.name.or_else(|| name_in_ref(&posted.body, message)))?;
        plane.server(split_server(&name)?.0)
    };
    let located = || {
        let uri = posted.text(message.p.uri.or_else(|| uris_in_ref(&posted.body, message)))?;
        plane.by_token(&split_uri(&uri)?.0)
    };
    if let Some(upstream) = named().or_else(located).filter(|upstream| !permits.reach(upstream.name())) {
        let base = &mut *arrival.base;
        out_of_reach(worker, &base.principal, &mut base.record, upstream.name());
    }
}

fn tell(
    worker: &Worker,
    principal: &Principal,
    method: Method,
    server: &Arc<str>,
    object: Object<'_>,
    why: &'static str,
    rule: Arc<str>,
) {
    worker.node.metrics.deny(why);
    let name = match object {
        // without its query, which may hold what is nobody's business
        Object::Resource(uri) => uri.split('?').next().unwrap_or_default(),
        other => other.name(),
    };
    worker.node.denials.note(Denied {
        who: Who::Principal(Arc::clone(&principal.subject)),
        method: method.as_str(),
        server: Arc::clone(server),
        object: name.chars().take(limit::SHOWN_NAME_CHARS).collect::<String>().into(),
        why,
        rule,
    });
}

/// Judges a message on a server's own door. `false`: a notification that goes no further.
///
/// # Errors
/// As [`judge`]; and what cannot be judged is refused, because the server might read it otherwise.
pub(super) fn on_own_door(worker: &Worker, call: &mut Call, posted: &mut Posted) -> Result<bool, Reason> {
    let message = &posted.message;
    let server = Arc::clone(call.upstream.name());
    let mut of = |kind: Kind, span: Option<Span>| {
        let name = decode_string(span.ok_or(Reason::NameMissing)?.of(&posted.body));
        judge(worker, call, &server, kind.object(&name), || kind.unknown(&name))
    };
    match (message.kind, message.method) {
        // answers to a server's questions
        (MessageKind::Response, _) => {}
        (_, Method::ToolsCall) => of(Kind::Tools, message.p.name)?,
        (_, Method::PromptsGet) => of(Kind::Prompts, message.p.name)?,
        (_, Method::ResourcesRead | Method::ResourcesSubscribe) => of(Kind::Resources, message.p.uri)?,
        (_, Method::CompletionComplete) => {
            match (name_in_ref(&posted.body, message), uris_in_ref(&posted.body, message)) {
                (None, None) => return Err(Reason::ReferenceMissing),
                (Some(prompt), None) => of(Kind::Prompts, Some(prompt))?,
                (prompt, Some(uri)) => {
                    if prompt.is_some() {
                        of(Kind::Prompts, prompt)?;
                    }
                    of(Kind::Templates, Some(uri))?;
                }
            }
        }
        (_, Method::SubscriptionsListen) => {
            curation::narrow(posted, |uri| may_read(&call.plane, &call.principal, &call.upstream, uri))?;
        }
        (MessageKind::Notification, Method::Other) => {
            let permits = call.plane.permits.as_ref();
            let verdict = permits.and_then(|permits| permits.verdict(&server, Object::Server));
            let scopes = call.principal.scopes.as_deref();
            return Ok(verdict.is_some_and(|verdict| matches!(verdict.call(scopes), Decision::Allowed { .. })));
        }
        (MessageKind::Request, Method::Other) => {
            let modern = posted.message.p.meta_protocol_version.is_some();
            judge(worker, call, &server, Object::Server, || Reason::UnjudgedMethod { modern })?;
        }
        // how a session begins and goes on, lists (of which what is not listed is left out), and what was granted before
        _ => {}
    }
    Ok(true)
}

/// Whether a principal may read a resource, or be told that it changed.
pub(super) fn may_read(plane: &Plane, principal: &Principal, upstream: &Upstream, uri: &str) -> bool {
    let Some(permits) = &plane.permits else { return true };
    let verdict = permits.verdict(upstream.name(), Object::Resource(uri));
    let scopes = principal.scopes.as_deref();
    verdict.is_some_and(|verdict| matches!(verdict.call(scopes), Decision::Allowed { .. }))
}
