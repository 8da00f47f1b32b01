//! Lists of the merged door: answered from the catalogue, which is filled here, on behalf of whoever asks.
//!
//! A list that is good (see `Entry::good_until`) is a look-up and a write. Otherwise the servers concerned are asked first,
//! all at once, each by one fetch for all who wait; a server that does not answer in time is left out (or shown as it was)
//! and announced with `list_changed` when it comes.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use sluice_mcp::{Method, ScanLimits, code, decode_string, list_page, scan};
use tokio::task::JoinSet;

use super::asker::{Asker, ask};
use super::{Client, Stated, merged_of};
use crate::auth::permits::Permits;
use crate::catalog::exposure::Naming;
use crate::catalog::list::{Facts, Item};
use crate::catalog::offer::{Page, Part};
use crate::catalog::{About, Entry, Kind as Kinds, List, Offer};
use crate::clock::epoch_seconds;
use crate::exchange::call::{Arrival, Content, Pieces, Posted, Reply};
use crate::exchange::{Outcome, refuse, sessions};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::seal::{Binding, Kind as Sealed};
use crate::session::Session;
use crate::upstream::quirks::Quirk;
use crate::upstream::{Carrier, Upstream};

/// `tools/list` and its kin.
pub(super) async fn answer(worker: &Rc<Worker>, mut arrival: Arrival, posted: Posted, client: &Client) -> Outcome {
    let id = posted.id();
    let Some(kind) = Kinds::of(posted.message.method) else {
        return Err(refuse(&mut arrival, Reason::UnknownMethod { modern: false }, id));
    };
    let offer = offer(worker, &arrival.plane, &client.asker(), kind).await;
    let page = match cursor(worker, &arrival, &posted, kind) {
        Ok(None) => offer.first().clone(),
        Ok(Some(last)) => match offer.after(&last) {
            Some(page) => page,
            None => return Err(refuse(&mut arrival, Reason::HandleUnknown("cursor"), id)),
        },
        Err(reason) => return Err(refuse(&mut arrival, reason, id)),
    };
    let modern = matches!(client, Client::Modern(_));
    Ok(written(worker, arrival, &posted, kind, &offer, page, modern))
}

/// A page as the answer to a request: what all share in one piece, what is this request's around it.
fn written(
    worker: &Worker,
    mut arrival: Arrival,
    posted: &Posted,
    kind: Kinds,
    offer: &Offer,
    page: Page,
    modern: bool,
) -> Reply {
    arrival.record.outcome = "ok";
    let mut head = BytesMut::with_capacity(160);
    head.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.extend_from_slice(&posted.id().unwrap_or_default());
    head.extend_from_slice(br#","result":{"#);
    if modern {
        let now = Instant::now();
        let until = offer.promised_until.map(|promised| promised.min(offer.good_until));
        let ttl = until.map_or(0, |until| until.saturating_duration_since(now).as_millis());
        let scope = if offer.private { "private" } else { "public" };
        let said = format!(r#""resultType":"complete","ttlMs":{ttl},"cacheScope":"{scope}","#);
        head.extend_from_slice(said.as_bytes());
    }
    if let Some(last) = &page.last {
        let cursor = worker.node.seal.seal(&binding(&arrival, kind), 0, last.as_bytes());
        head.extend_from_slice(format!(r#""nextCursor":"{cursor}","#).as_bytes());
    }
    head.extend_from_slice(b"\"");
    head.extend_from_slice(kind.member().as_bytes());
    head.extend_from_slice(b"\":[");
    let content = if page.items.len() <= limit::COPIED_BYTES {
        head.extend_from_slice(&page.items);
        Content::Json(head.freeze())
    } else {
        // the items are the catalogue's own, and there once
        let chunks = [head.freeze(), page.items].into_iter().collect();
        Content::Pieces(Box::new(Pieces { chunks, file: page.file, _held: Vec::new() }))
    };
    Reply::of(StatusCode::OK, content)
}

/// A cursor of ours belongs to the principal, the door and the kind of list.
fn binding(arrival: &Arrival, kind: Kinds) -> Binding<'static> {
    let context: &'static [u8] = match kind {
        Kinds::Tools => b"tools",
        Kinds::Prompts => b"prompts",
        Kinds::Resources => b"resources",
        Kinds::Templates => b"templates",
    };
    Binding { kind: Sealed::Cursor, principal: arrival.principal.id, server: "", context }
}

/// The place in the list that the client's cursor names.
fn cursor(worker: &Worker, arrival: &Arrival, posted: &Posted, kind: Kinds) -> Result<Option<String>, Reason> {
    let Some(span) = posted.message.p.cursor else { return Ok(None) };
    let raw = span.of(&posted.body);
    if raw == b"null" {
        return Ok(None);
    }
    let handle = raw.starts_with(b"\"").then(|| decode_string(raw)).ok_or(Reason::HandleUnknown("cursor"))?;
    let opened = worker.node.seal.open(&binding(arrival, kind), epoch_seconds(), handle.as_bytes());
    opened.and_then(|value| String::from_utf8(value).ok()).map(Some).ok_or(Reason::HandleUnknown("cursor"))
}

/// What the merged door shows this client, the servers asked first where need be.
pub(super) async fn offer(worker: &Rc<Worker>, plane: &Arc<Plane>, asker: &Asker, kind: Kinds) -> Arc<Offer> {
    let permits = plane.permits.as_deref();
    let viewer = |audience| (audience, permits.map_or(0, |permits| permits.number), kind);
    let (shared, alone) = (asker.audience(plane), asker.alone(plane));
    let now = Instant::now();
    let state = || (worker.node.changes.version(), plane.snapshot.revision);
    // one that is good for all is kept for none alone: what a server keeps for those who ask is in no such one
    for audience in [shared, alone] {
        if let Some(offer) = worker.node.offers.get(&viewer(audience), state(), now) {
            return offer;
        }
    }
    let asked = Box::pin(ask_servers(worker, plane, asker, kind)).await;
    // before looking: a change in between makes this offer outdated, not wrong
    let state = state();
    let (parts, good_until, is_shared) = gathered(plane, asker, kind, &asked);
    let viewer = viewer(if is_shared { shared } else { alone });
    let naming = Naming::merged(plane.snapshot.prefix);
    let before = worker.node.offers.alike(&viewer, naming, &parts);
    let offer = Arc::new(Offer::new(state, naming, parts, good_until, permits.is_some(), before.as_deref()));
    worker.node.offers.keep(&viewer, &offer);
    if alone.is_for_once() {
        plane.servers().for_each(|upstream| upstream.catalogue.forget(&alone));
    }
    offer
}

/// The entries that were filled just now, by server: when many ask at once, they may not be kept for long.
type Asked = HashMap<u64, Arc<Entry>>;

/// The lists of all servers as they are now, until when that is good, and whether it is for all of the door's audience.
fn gathered(plane: &Plane, asker: &Asker, kind: Kinds, asked: &Asked) -> (Vec<Part>, Instant, bool) {
    let now = Instant::now();
    let naming = Naming::merged(plane.snapshot.prefix);
    let mut good_until = now + limit::CATALOGUE_WATCHED;
    let mut parts = Vec::new();
    let mut is_shared = true;
    for upstream in plane.servers().filter(|upstream| asker.reaches(upstream)) {
        let audience = asker.audience_of(upstream);
        let entry = asked.get(&upstream.id).cloned().unwrap_or_else(|| upstream.catalogue.entry(&audience));
        is_shared &= !upstream.catalogue.is_private();
        let again = match entry.good_until(kind, now) {
            Some(until) => until,
            None => now + entry.held_back(now).map_or(Duration::ZERO, |trouble| trouble.wait(now)),
        };
        good_until = good_until.min(again);
        match entry.list(kind).filter(|list| list.shown.naming == naming) {
            Some(list) => {
                let seen = plane.permits.as_deref().and_then(|permits| seen(permits, upstream.name(), kind, &list));
                parts.push(Part { server: Arc::clone(upstream.name()), list, seen });
            }
            None => {
                entry.miss(kind);
                if let Asker::Legacy(whole) = asker {
                    merged_of(whole).missing.store(true, Ordering::Relaxed);
                    // its stream may sleep without a timer
                    merged_of(whole).opened.notify_waiters();
                }
            }
        }
    }
    (parts, good_until, is_shared)
}

/// Which items of a list policies let be seen; `None`: all.
fn seen(permits: &Permits, server: &str, kind: Kinds, list: &List) -> Option<Box<[bool]>> {
    if permits.list_all(server) {
        return None;
    }
    let seen = list.shown.items.iter().map(|item| permits.lists(server, kind.object(item.original())));
    let seen: Box<[bool]> = seen.collect();
    seen.contains(&false).then_some(seen)
}

/// Asks every server whose list is not good any more, and waits as long as makes sense.
async fn ask_servers(worker: &Rc<Worker>, plane: &Arc<Plane>, asker: &Asker, kind: Kinds) -> Asked {
    let now = Instant::now();
    let mut asked = JoinSet::new();
    for upstream in plane.servers().filter(|upstream| asker.reaches(upstream)) {
        let entry = upstream.catalogue.entry(&asker.audience_of(upstream));
        if entry.good_until(kind, now).is_some() || entry.held_back(now).is_some() {
            continue;
        }
        // what was there before may be shown on, and who did not answer before is waited for once only; what was never
        // there is worth a longer wait
        let before = entry.list(kind);
        let slow = before.as_ref().is_some_and(|list| list.took() > limit::LIST_AGAIN_WAIT);
        let wait = match (entry.failure().is_some() || slow, before.is_some()) {
            (true, _) => limit::LIST_AGAIN_WAIT,
            (false, true) => limit::LIST_REFRESH_WAIT,
            (false, false) => limit::LIST_WAIT,
        };
        let fetching = begin(worker, upstream, asker, kind);
        let id = upstream.id;
        asked.spawn_local(async move {
            let fetched = tokio::time::timeout(wait, fetching).await;
            // one that is slow again is not in trouble: what it has comes, and is told
            if fetched.is_err() && !slow && entry.good_until(kind, Instant::now()).is_none() {
                entry.fail(kind, Reason::ServerSilent);
            }
            Some((id, fetched.ok()?.ok()?))
        });
    }
    let mut filled = Asked::new();
    while let Some(joined) = asked.join_next().await {
        filled.extend(joined.ok().flatten());
    }
    filled
}

/// Asks one server, and waits for it.
pub(super) async fn refresh(worker: &Rc<Worker>, upstream: &Arc<Upstream>, asker: &Asker, kind: Kinds) {
    let entry = upstream.catalogue.entry(&asker.audience_of(upstream));
    if entry.good_until(kind, Instant::now()).is_none() && entry.held_back(Instant::now()).is_none() {
        let _ = tokio::time::timeout(limit::LIST_WAIT, begin(worker, upstream, asker, kind)).await;
    }
}

/// The part of a legacy session that a call goes to. A server that is known not to answer is found out about in the
/// background: the call fails at once.
pub(super) async fn part(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    whole: &Arc<Session>,
) -> Result<Arc<Session>, Reason> {
    let open = merged_of(whole).open_part(upstream.name()).filter(|part| part.definition == upstream.id);
    if let Some(part) = open {
        return Ok(part);
    }
    let asker = Asker::Legacy(Arc::clone(whole));
    let entry = upstream.catalogue.known(&asker.audience_of(upstream));
    let failure = || entry.as_ref().and_then(|entry| entry.failure()).filter(Reason::is_silence);
    if failure().is_none() {
        return Box::pin(sessions::part(worker, upstream, whole)).await;
    }
    let finding_out = begin(worker, upstream, &asker, Kinds::Tools);
    let _ = tokio::time::timeout(limit::LIST_AGAIN_WAIT, finding_out).await;
    let open = merged_of(whole).open_part(upstream.name()).filter(|part| part.definition == upstream.id);
    match (open, failure()) {
        (Some(part), _) => Ok(part),
        (None, Some(_)) => Err(Reason::ServerSilent),
        (None, None) => Box::pin(sessions::part(worker, upstream, whole)).await,
    }
}

/// Whether a call may be sent to a modern server: not to one that never said a word and is known to be silent. That it
/// speaks again is found out in the background.
pub(super) async fn answers(worker: &Rc<Worker>, upstream: &Arc<Upstream>, stated: &Stated) -> Result<(), Reason> {
    if upstream.era.modern().is_some() {
        return Ok(());
    }
    let failure = || upstream.catalogue.known(&stated.audience_of(upstream)).and_then(|entry| entry.failure());
    if failure().filter(Reason::is_silence).is_none() {
        return Ok(());
    }
    let finding_out = begin(worker, upstream, &Asker::Modern(stated.clone()), Kinds::Tools);
    let _ = tokio::time::timeout(limit::LIST_AGAIN_WAIT, finding_out).await;
    failure().filter(Reason::is_silence).map_or(Ok(()), |_| Err(Reason::ServerSilent))
}

/// The stream on which a server would have said that lists changed was closed for a while: what was listed is looked at
/// again, and told if it is another one.
pub(super) fn doubt(worker: &Rc<Worker>, upstream: &Arc<Upstream>, asker: &Asker) {
    let entry = upstream.catalogue.entry(&asker.audience_of(upstream));
    entry.heard();
    for kind in Kinds::ALL {
        if entry.doubt(kind) {
            drop(begin(worker, upstream, asker, kind));
        }
    }
}

/// Begins to fetch a list; the fetch goes on if nobody waits for it any more. What comes back is where the list is then.
pub(super) fn begin(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    asker: &Asker,
    kind: Kinds,
) -> tokio::task::JoinHandle<Arc<Entry>> {
    let (worker, upstream, asker) = (Rc::clone(worker), Arc::clone(upstream), asker.clone());
    tokio::task::spawn_local(async move {
        let catalogue = &upstream.catalogue;
        let mut audience = asker.audience_of(&upstream);
        let mut entry = catalogue.entry(&audience);
        let mut one = entry.fetching(kind).await;
        // whoever waited for a list that was for somebody else only asks for an own one
        while asker.audience_of(&upstream) != audience {
            drop(one);
            audience = asker.audience_of(&upstream);
            entry = catalogue.entry(&audience);
            one = entry.fetching(kind).await;
        }
        if entry.good_until(kind, Instant::now()).is_some() || entry.held_back(Instant::now()).is_some() {
            drop(one);
            if matches!(asker, Asker::Modern(_)) && entry.failure().is_none() && asker.about(&upstream).is_none() {
                // what it says of itself, it says to each client anew
                let _ = open(&worker, &upstream, &asker, &entry).await;
            }
            return entry;
        }
        // a session that ends meanwhile must not end the fetch half done for others
        entry.begin(kind);
        match fetch(&worker, &upstream, &asker, &entry, kind).await {
            Ok(list) => {
                if matches!(asker, Asker::Modern(_)) {
                    catalogue.learn_list(kind, list.private);
                }
                let now = asker.audience_of(&upstream);
                if now == audience {
                    entry.keep(kind, catalogue.sharing(kind, list));
                } else {
                    let other = catalogue.entry(&now);
                    // whoever waits here looks there
                    drop(one);
                    let _one = other.fetching(kind).await;
                    other.keep_instead(&entry, kind, catalogue.sharing(kind, list));
                    return Arc::clone(&other);
                }
            }
            // the asker's trouble, not the server's: the next one may have better luck
            Err(Reason::SessionUnknown | Reason::ChildLimit) => entry.undo(kind),
            Err(_) if asker.is_gone() => entry.undo(kind),
            Err(reason) => {
                tracing::warn!(server = %upstream.name(), list = kind.member(), outcome = reason.row().outcome, "a list could not be fetched");
                entry.fail(kind, reason);
            }
        }
        drop(one);
        entry
    })
}

/// A whole list, all pages.
async fn fetch(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    asker: &Asker,
    entry: &Entry,
    kind: Kinds,
) -> Result<List, Reason> {
    let begun = Instant::now();
    let about = {
        let _one = entry.opening.lock().await;
        // Processes start in moderate numbers. One that hangs does not hold up the others for long.
        let turn = worker.asking.acquire();
        let _turn = match upstream.carrier() {
            Carrier::Pipe => tokio::time::timeout(limit::TURN_WAIT, turn).await.ok(),
            Carrier::Requests => None,
        };
        open(worker, upstream, asker, entry).await?
    };
    let mut items = Vec::new();
    let mut bytes = 0;
    let mut ttl: Option<Duration> = None;
    let mut private = false;
    let offered = about.is_none_or(|about| about.capabilities.get(kind.capability()).is_some());
    let mut cursor: Option<Bytes> = None;
    for page in 0..=limit::LIST_PAGES {
        if !offered {
            break;
        }
        if page == limit::LIST_PAGES {
            return Err(Reason::ServerGarbage("pages without end"));
        }
        let body = ask(worker, upstream, asker, kind.method(), cursor.as_deref()).await?;
        let message = scan(&body, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("a list"))?;
        if message.result.is_none() {
            if message.error_code == Some(code::METHOD_NOT_FOUND) {
                break;
            }
            return Err(Reason::ServerRefused(sessions::error_text(&body)));
        }
        let page = list_page(&body, &message, kind.method()).map_err(|error| {
            tracing::warn!(server = %upstream.name(), %error, list = kind.member(), "the server's list is not as it should be");
            Reason::ServerGarbage("a list")
        })?;
        if page.nameless > 0 {
            upstream.quirks.saw(upstream.name(), Quirk::Nameless);
        }
        bytes += body.len();
        if bytes > limit::LIST_BYTES {
            return Err(Reason::ServerGarbage("a list longer than the limit"));
        }
        items.extend(
            page.items.iter().map(|item| Item {
                name: decode_string(item.name.of(&body)).into(),
                json: body.slice(item.span.range()),
            }),
        );
        // the legacy era knows no such promise
        let promised = page.ttl_ms.filter(|_| matches!(asker, Asker::Modern(_)));
        let promised = promised.map(|ms| Duration::from_millis(ms).min(limit::CATALOGUE_WATCHED));
        ttl = match (ttl, promised) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        private |= page.private && matches!(asker, Asker::Modern(_));
        let next = page.next_cursor.map(|span| body.slice(span.range())).filter(|next| next.starts_with(b"\""));
        if next.is_none() || next == cursor {
            break;
        }
        cursor = next;
    }
    let mut names = std::collections::HashSet::with_capacity(items.len());
    if !items.iter().all(|item: &Item| names.insert(&item.name)) {
        upstream.quirks.saw(upstream.name(), Quirk::Duplicates);
    }
    drop(names);
    let facts = Facts { begun, ttl, private };
    Ok(List::new(kind, &items, &upstream.exposure, Naming::merged(worker.plane().snapshot.prefix), &facts))
}

/// Opens what asking needs, and keeps what the server says of itself.
async fn open(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    asker: &Asker,
    entry: &Entry,
) -> Result<Option<Arc<About>>, Reason> {
    match asker {
        // keeps what the server says of itself
        Asker::Legacy(whole) => {
            sessions::part(worker, upstream, whole).await?;
            Ok(entry.about.load_full())
        }
        Asker::Modern(stated) => {
            let own = upstream.catalogue.known(&stated.alone()).and_then(|own| own.about.load_full());
            let known = own.or_else(|| entry.about.load_full().filter(|about| !about.private));
            if known.is_some() {
                return Ok(known);
            }
            let body = ask(worker, upstream, asker, Method::ServerDiscover, None).await?;
            let message =
                scan(&body, ScanLimits { depth: u16::MAX }).map_err(|_| Reason::ServerGarbage("discovery"))?;
            // `server/discover` is required of modern servers; one without it is asked for its lists all the same
            let Some(result) = message.result else {
                upstream.quirks.saw(upstream.name(), Quirk::NoDiscovery);
                return Ok(None);
            };
            let about = Arc::new(About::discovered(result.of(&body)));
            entry.about.store(Some(Arc::clone(&about)));
            if about.private {
                upstream.catalogue.entry(&stated.alone()).about.store(Some(Arc::clone(&about)));
            }
            Ok(Some(about))
        }
    }
}
