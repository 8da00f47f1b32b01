//! Sending to a server that runs in several places: which of them gets a request, and which requests are sent once more.
//!
//! A request of a session goes where the session is. Any other goes to the less busy of two, and to another where nothing of it
//! was sent. Where something was sent it may have run: it is sent again only if the configuration trusts what says that it may
//! run twice.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use smallvec::SmallVec;

use super::ask::{Kinds, content_type, ended, held_back};
use super::call::{Call, Posted};
use super::parameters;
use crate::limit;
use crate::node::Worker;
use crate::upstream::Upstream;
use crate::upstream::balance::{Endpoints, Group};
use crate::upstream::endpoint::{Endpoint, Key, Place};
use crate::upstream::http::{Failure, Request, Response};

type Sent = Result<Response, Failure>;

/// Endpoints that were tried already.
type Tried = SmallVec<[Key; 4]>;

/// Sends a request at `now`, and waits for the head of its answer, no longer than `wait` from an endpoint.
pub(super) async fn send(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoints: &Endpoints,
    request: &Request<'_>,
    now: Instant,
    wait: Duration,
) -> Sent {
    let group = Arc::clone(&endpoints.group());
    let way = Way { worker, upstream, endpoints, group, request, wait };
    match request.place {
        Some(place) => way.to_holder(place, now).await,
        None => way.to_any(&mut request.last.get().into_iter().collect(), now).await,
    }
}

/// A server that says that it is not to be had: an error of MCP is none of these, which may come with any status, as JSON.
pub(super) fn is_out_of_order(response: &Response) -> bool {
    match response.status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => true,
        status => status.is_server_error() && content_type(&response.headers) != Kinds::Json,
    }
}

/// Sends a modern request once more that may have run, where the configuration allows it and it may run twice. `sent` is what
/// became of it.
pub(super) async fn repeated(
    worker: &Rc<Worker>,
    call: &Call,
    posted: &Posted,
    request: &Request<'_>,
    sent: Sent,
) -> Sent {
    let Some(endpoints) = &call.upstream.endpoints else { return sent };
    let group = Arc::clone(&endpoints.group());
    let (broke_off, from) = match &sent {
        Ok(response) => (is_out_of_order(response), Some(response.from)),
        Err(Failure::Broken(_)) => (true, request.last.get()),
        Err(_) => (false, None),
    };
    let Some(from) = from.filter(|from| broke_off && group.repeats() && group.has_other(*from)) else { return sent };
    if !parameters::may_run_twice(worker, call, posted).await || !group.may_retry() {
        return sent;
    }
    endpoints.count_retry();
    drop(sent);
    let wait = call.upstream.config.timeout;
    let way = Way { worker, upstream: &call.upstream, endpoints, group, request, wait };
    way.to_any(&mut Tried::from_slice(&[from]), Instant::now()).await
}

/// A request on its way.
struct Way<'a> {
    worker: &'a Rc<Worker>,
    upstream: &'a Upstream,
    endpoints: &'a Endpoints,
    group: Arc<Group>,
    request: &'a Request<'a>,
    wait: Duration,
}

impl Way<'_> {
    /// To the less busy of two, and on to others as long as nothing was sent.
    async fn to_any(&self, tried: &mut Tried, now: Instant) -> Sent {
        let (group, lasts) = (&self.group, self.request.lasts);
        group.asked();
        let mut endpoint = match group.choose(lasts, tried) {
            Ok(endpoint) => endpoint,
            Err(all) => group.found_back(tried).await.ok_or_else(|| held_back(all.0))?,
        };
        let mut now = now;
        loop {
            let sent = self.to(endpoint, now).await;
            tried.push(endpoint.key);
            if !matches!(sent, Err(Failure::Unreachable(_))) {
                return sent;
            }
            let other = match group.choose(lasts, tried) {
                Ok(other) if group.may_retry() => other,
                Ok(_) => return sent,
                // whoever waited for it to be back asks no more of it than clients do
                Err(_) => match group.found_back(tried).await {
                    Some(back) => back,
                    None => return sent,
                },
            };
            self.endpoints.count_retry();
            (endpoint, now) = (other, Instant::now());
        }
    }

    /// To the endpoint that has the session.
    ///
    /// # Errors
    /// [`Failure::Moved`] where that is out of service, or cannot be reached, and another is in service or may be back.
    async fn to_holder(&self, place: Place, now: Instant) -> Sent {
        let Some(endpoint) = self.group.holder(place) else { return Err(Failure::Moved) };
        if let Err(left) = endpoint.breaker.may_try() {
            return Err(held_back(left));
        }
        match self.to(endpoint, now).await {
            Err(Failure::Unreachable(_)) if self.group.has_hope(endpoint.key) => Err(Failure::Moved),
            sent => sent,
        }
    }

    async fn to(&self, endpoint: &Endpoint, now: Instant) -> Sent {
        self.request.last.set(Some(endpoint.key));
        let flight = endpoint.begin(self.request.lasts);
        let answers = endpoint.breaker.answers();
        if self.group.has_other(endpoint.key) {
            self.request.connect.set(limit::CONNECT_ELSEWHERE);
        }
        let mut sent = self.worker.pools.send(endpoint.key, &endpoint.target, self.request, now, self.wait).await;
        if !matches!(sent, Err(Failure::NoToken(_))) {
            self.group.note(self.upstream.name(), endpoint, ended(&sent, now), answers);
        }
        if let Ok(response) = &mut sent {
            response.body.count(flight);
        }
        sent
    }
}
