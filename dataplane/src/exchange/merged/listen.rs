//! `subscriptions/listen` of the merged door: one acknowledgement, one stream, fed by a stream of each server that has
//! something to say. Changes of lists come from the catalogue, told once whoever noticed.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_http1::Fields;
use sluice_mcp::uri::expose_uri;
use sluice_mcp::{Kind, Method, ScanLimits, code, header, scan};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::asker::Asker;
use super::gather::{due, try_missed};
use super::lists::{self};
use super::{Client, Stated, quiet, route, seen};
use crate::auth::Principal;
use crate::catalog::exposure::Naming;
use crate::exchange::call::{Arrival, Content, Posted, Reply};
use crate::exchange::relay::{Expected, Item, LIST_CHANGED, Parts, Relay, Source};
use crate::exchange::{Outcome, http_server, permission, pipe_server, refuse, stream, stream_ticket};
use crate::limit;
use crate::node::Worker;
use crate::plane::Plane;
use crate::reason::Reason;
use crate::upstream::{Carrier, Upstream};

/// What the client asked to be told, in the order of [`LIST_CHANGED`].
const FLAGS: [&str; 3] = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];

/// Opens the stream.
pub(super) async fn open(worker: &Rc<Worker>, mut arrival: Arrival, posted: Posted, client: Client) -> Outcome {
    let Some(id) = posted.id() else {
        return Err(refuse(&mut arrival, Reason::UnknownMethod { modern: true }, None));
    };
    let Client::Modern(stated) = &client else {
        return Err(refuse(&mut arrival, Reason::UnknownMethod { modern: false }, Some(id)));
    };
    let filter = posted.message.p.notifications.map(|span| span.of(&posted.body));
    let filter: Option<Map<String, Value>> = filter.and_then(|raw| serde_json::from_slice(raw).ok());
    let Some(filter) = filter else {
        return Err(refuse(&mut arrival, Reason::FilterMissing, Some(id)));
    };
    let flags = FLAGS.map(|flag| filter.get(flag) == Some(&Value::Bool(true)));
    let mut wanted: HashMap<Arc<str>, Wanted> = HashMap::new();
    for upstream in arrival.plane.servers() {
        if flags.contains(&true) && !upstream.era.is_legacy() {
            wanted.entry(Arc::clone(upstream.name())).or_default().flags = flags;
        }
    }
    let mut honoured = Map::new();
    for (flag, _) in FLAGS.iter().zip(flags).filter(|(_, on)| *on) {
        honoured.insert((*flag).to_owned(), true.into());
    }
    let mut resources = Vec::new();
    for exposed in strings(filter.get("resourceSubscriptions")).take(limit::SUBSCRIPTIONS) {
        if let Ok((upstream, original)) = route::resource(worker, &arrival, &client, exposed).await
            && permission::may_read(&arrival.plane, &arrival.principal, &upstream, &original)
        {
            wanted.entry(Arc::clone(upstream.name())).or_default().resources.push(original);
            resources.push(exposed);
        }
    }
    if !resources.is_empty() {
        honoured.insert("resourceSubscriptions".to_owned(), json!(resources));
    }
    let mut tasks = Vec::new();
    for handle in strings(filter.get("taskIds")).take(limit::SUBSCRIPTIONS) {
        let server = handle.split_once('.').and_then(|(server, _)| arrival.plane.server(server));
        if let Some(upstream) = server {
            wanted.entry(Arc::clone(upstream.name())).or_default().tasks.push(handle.to_owned());
            tasks.push(handle);
        }
    }
    if !tasks.is_empty() {
        honoured.insert("taskIds".to_owned(), json!(tasks));
    }
    let mut base = *arrival.base;
    let ticket = stream_ticket(base.ticket, &mut base.record, Some(&id))?;
    let (items, queue) = mpsc::channel(limit::GATHERED);
    let acknowledged = format!(
        r#"{{"jsonrpc":"2.0","method":"{}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{}}},"notifications":{}}}}}"#,
        Method::NotificationSubscriptionsAcknowledged.as_str(),
        String::from_utf8_lossy(&id),
        Value::Object(honoured),
    );
    let listening = Listening {
        worker: Rc::clone(worker),
        stated: stated.clone(),
        principal: base.principal.clone(),
        headers: base.headers,
        id: id.clone(),
        flags,
        acknowledged: watch::Sender::new(false),
        items,
    };
    let gathering = tokio::task::spawn_local(listening.run(wanted, acknowledged.into())).abort_handle();
    Ok(stream(Relay::new(Parts {
        worker: Rc::clone(worker),
        source: Source::Gathered { items: queue, gathering },
        handles: None,
        numbering: None,
        expected: Some(Expected {
            id,
            method: Method::SubscriptionsListen,
            modern: true,
            timeout: limit::CALL_ABSOLUTE,
        }),
        depth: base.plane.snapshot.limits.json_depth,
        before: Default::default(),
        on_timeout: None,
        principal: base.principal,
        upstream: None,
        record: base.record,
        ticket,
        in_use: None,
    })))
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What of one server the client wants to be told.
#[derive(Clone, Default)]
struct Wanted {
    flags: [bool; 3],
    /// The server's own URIs.
    resources: Vec<String>,
    /// Handles, as the client knows them.
    tasks: Vec<String>,
}

impl Wanted {
    /// Whether the client asked to be told this: servers must not say anything else (2026-07-28 *Subscriptions*), and clients
    /// need not take it. Changes of lists are told by the catalogue.
    fn wants(&self, method: Method) -> bool {
        match method {
            Method::NotificationResourcesUpdated => !self.resources.is_empty(),
            Method::NotificationTasks | Method::NotificationTasksStatus => !self.tasks.is_empty(),
            _ => false,
        }
    }
}

struct Listening {
    worker: Rc<Worker>,
    stated: Stated,
    principal: Principal,
    headers: Fields,
    /// The raw id of the request.
    id: Bytes,
    flags: [bool; 3],
    /// The client was told that it is listened for it; nothing is said before.
    acknowledged: watch::Sender<bool>,
    items: mpsc::Sender<Item>,
}

impl Listening {
    async fn run(self, wanted: HashMap<Arc<str>, Wanted>, acknowledgement: Bytes) {
        let mut told = self.worker.node.changes.told();
        let mut before = *told.borrow_and_update();
        let mut quiet_until = Instant::now();
        let this = Rc::new(self);
        let asker = Asker::Modern(this.stated.clone());
        // dropped with this: the streams of servers end with the client's
        let mut streams = JoinSet::new();
        let mut joined: HashSet<Arc<str>> = wanted.keys().cloned().collect();
        let (heard, mut ready) = mpsc::unbounded_channel();
        for (server, wanted) in wanted {
            streams.spawn_local(Rc::clone(&this).listen(server, wanted, Some(heard.clone())));
        }
        drop(heard);
        // each server acknowledges, or fails: only then is the subscription what the acknowledgement says
        let all = async { while ready.recv().await.is_some() {} };
        let _ = tokio::time::timeout(limit::LISTEN_WAIT, all).await;
        if this.items.send(Item::message(acknowledgement)).await.is_err() {
            return;
        }
        this.acknowledged.send_replace(true);
        let lists = this.flags.contains(&true);
        let mut look = tokio::time::interval(limit::MISSED_LOOK);
        let mut seen = seen::Seen::new(&this.worker, &this.principal);
        loop {
            let changed = tokio::select! {
                () = this.items.closed() => return,
                changed = due(&mut told, before, quiet_until) => {
                    let Some(now) = changed else { return };
                    let changed = std::array::from_fn(|at| now[at] != before[at]);
                    before = now;
                    changed
                }
                others = seen.changed() => [others; 3],
                _ = look.tick(), if lists => {
                    try_missed(&this.worker, &seen.plane, &asker);
                    [false; 3]
                }
            };
            if changed.contains(&true) {
                for (at, method) in LIST_CHANGED.iter().enumerate() {
                    let due = this.flags[at] && changed[at];
                    if due && this.items.send(this.notification(*method)).await.is_err() {
                        return;
                    }
                }
                quiet_until = Instant::now() + limit::CHANGES_PAUSE;
                // a server that was not there before is listened to as well
                joined.retain(|server| seen.plane.server(server).is_some());
                for upstream in seen.plane.servers() {
                    let listed = upstream
                        .catalogue
                        .known(&this.stated.audience_of(upstream))
                        .is_some_and(|e| e.about.load().is_some());
                    if lists && listed && joined.insert(Arc::clone(upstream.name())) {
                        let wanted = Wanted { flags: this.flags, ..Wanted::default() };
                        streams.spawn_local(Rc::clone(&this).listen(Arc::clone(upstream.name()), wanted, None));
                    }
                }
            }
            while streams.try_join_next().is_some() {}
        }
    }

    fn notification(&self, method: Method) -> Item {
        let id = String::from_utf8_lossy(&self.id);
        let meta = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
        let method = method.as_str();
        Item::message(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{meta}}}}}"#).into())
    }

    /// Listens to one server, and again whenever its stream ends. `ready` is let go when the server acknowledged, or failed.
    async fn listen(self: Rc<Self>, server: Arc<str>, wanted: Wanted, mut ready: Option<mpsc::UnboundedSender<()>>) {
        let mut pause = limit::GATHER_RETRY_FIRST;
        let mut again = false;
        loop {
            let plane = seen::plane(&self.worker, &self.principal);
            let Some(upstream) = plane.server(&server) else { return };
            let begun = Instant::now();
            match self.once(upstream, &plane, &wanted, again, &mut ready).await {
                Heard::Enough => return,
                Heard::Ended if begun.elapsed() > limit::GATHER_RETRY_LAST => pause = limit::GATHER_RETRY_FIRST,
                Heard::Ended => {}
            }
            ready = None;
            again = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limit::GATHER_RETRY_LAST);
        }
    }

    async fn once(
        &self,
        upstream: &Arc<Upstream>,
        plane: &Arc<Plane>,
        wanted: &Wanted,
        again: bool,
        ready: &mut Option<mpsc::UnboundedSender<()>>,
    ) -> Heard {
        let body = self.request(upstream, plane, wanted);
        let Ok(message) = scan(&body, ScanLimits { depth: u16::MAX }) else { return Heard::Enough };
        let Ok(held) = self.worker.node.hold(body.len()) else { return Heard::Ended };
        let call = quiet::call(&self.worker, plane, upstream, &self.principal, self.headers());
        let posted = Posted::new(body, message, held);
        // boxed: a stream that is open does not keep the room that opening it took
        let opened = match upstream.carrier() {
            Carrier::Requests => Box::pin(http_server::modern(&self.worker, call, posted)).await,
            Carrier::Pipe => Box::pin(pipe_server::modern(&self.worker, call, posted)).await,
        };
        let mut relay = match opened {
            Ok(Reply { content: Content::Messages(relay), .. }) => *relay,
            // an error at once: the server has nothing to tell, or does not know the method
            Ok(Reply { content: Content::Json(body), .. }) => {
                let error = scan(&body, ScanLimits { depth: u16::MAX }).ok().and_then(|m| m.error_code);
                let never = matches!(error, Some(code::METHOD_NOT_FOUND | code::INVALID_PARAMS));
                return if never { Heard::Enough } else { Heard::Ended };
            }
            _ => return Heard::Ended,
        };
        let mut watched = None;
        while let Some(item) = poll_fn(|cx| relay.poll_item(cx)).await {
            let Some(data) = item.data.filter(|data| !data.is_empty()) else { continue };
            let Ok(message) = scan(&data, ScanLimits { depth: u16::MAX }) else { continue };
            if message.kind == Kind::Response {
                let error = matches!(message.error_code, Some(code::METHOD_NOT_FOUND | code::INVALID_PARAMS));
                return if error { Heard::Enough } else { Heard::Ended };
            }
            if message.method == Method::NotificationSubscriptionsAcknowledged {
                let late = again || *self.acknowledged.borrow();
                *ready = None;
                if wanted.flags.contains(&true) {
                    // whether or not the server says that its lists are for this client only: it may come to say so
                    let (shared, own) = (self.stated.audience, self.stated.alone());
                    let watches = [shared, own].map(|audience| (audience, upstream.catalogue.watch(&audience)));
                    let now = self.stated.audience_of(upstream);
                    let first = watches.iter().any(|(audience, (_, first))| *audience == now && *first);
                    watched = Some(watches.map(|(_, (watch, _))| watch));
                    if first {
                        lists::doubt(&self.worker, upstream, &Asker::Modern(self.stated.clone()));
                    }
                }
                if late && self.tell_updated(upstream, wanted).await.is_err() {
                    return Heard::Enough;
                }
                continue;
            }
            if wanted.wants(message.method) && self.say(Item::message(data)).await.is_err() {
                return Heard::Enough;
            }
        }
        drop(watched);
        Heard::Ended
    }

    /// Says something to the client, not before it is told that it is listened for it.
    async fn say(&self, item: Item) -> Result<(), Gone> {
        let _ = self.acknowledged.subscribe().wait_for(|told| *told).await;
        self.items.send(item).await.map_err(|_| Gone)
    }

    /// Nobody heard for a while whether these resources changed: the client is told that they may have.
    async fn tell_updated(&self, upstream: &Upstream, wanted: &Wanted) -> Result<(), Gone> {
        let id = String::from_utf8_lossy(&self.id);
        let prefixed = Naming::merged(self.worker.plane().snapshot.prefix) == Naming::Prefixed;
        for uri in &wanted.resources {
            let shown = if prefixed { expose_uri(&upstream.exposure.token, uri) } else { uri.clone() };
            let message = format!(
                r#"{{"jsonrpc":"2.0","method":"{}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"uri":{}}}}}"#,
                Method::NotificationResourcesUpdated.as_str(),
                json!(shown)
            );
            self.say(Item::message(message.into())).await?;
        }
        Ok(())
    }

    /// The request to one server, with the client's own id: what it says then carries the right subscription id.
    fn request(&self, upstream: &Upstream, plane: &Plane, wanted: &Wanted) -> Bytes {
        let mut filter = Map::new();
        for (flag, _) in FLAGS.iter().zip(wanted.flags).filter(|(_, on)| *on) {
            filter.insert((*flag).to_owned(), true.into());
        }
        // what is hidden or denied by now is not asked for again
        let may_read = |uri: &String| permission::may_read(plane, &self.principal, upstream, uri);
        let resources: Vec<_> =
            wanted.resources.iter().filter(|uri| upstream.shows_resource(uri) && may_read(uri)).collect();
        if !resources.is_empty() {
            filter.insert("resourceSubscriptions".to_owned(), json!(resources));
        }
        if !wanted.tasks.is_empty() {
            filter.insert("taskIds".to_owned(), json!(wanted.tasks));
        }
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"{}","params":{{"notifications":{},"_meta":{{{}}}}}}}"#,
            String::from_utf8_lossy(&self.id),
            Method::SubscriptionsListen.as_str(),
            Value::Object(filter),
            String::from_utf8_lossy(&self.stated.meta()),
        )
        .into()
    }

    /// The client's protocol headers; those that mirror its message fit this one as well.
    fn headers(&self) -> Fields {
        let mut headers = self.headers.clone();
        let own = [(header::METHOD, Method::SubscriptionsListen.as_str()), (header::PROTOCOL_VERSION, "2026-07-28")];
        for (name, value) in own {
            // a word of the specification is a field value
            let _ = headers.set(name, value.as_bytes());
        }
        headers
    }
}

/// The client's stream is gone.
struct Gone;

/// How a server's stream ended.
enum Heard {
    /// There is nothing more to come, now or later.
    Enough,
    /// It is opened again.
    Ended,
}
