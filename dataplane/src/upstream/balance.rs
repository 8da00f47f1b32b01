//! Which endpoint of a server a request goes to: the less busy of two that are drawn, among those in service. A server that runs
//! in one place, as nearly all do, pays for none of this.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use sluice_snapshot::model::{Balance, HttpEndpoint, Retries, Server};
use smallvec::SmallVec;

use super::breaker::{Change, Ended, Rule};
use super::credential::Credentials;
use super::endpoint::{Endpoint, Key, Place};
use super::health::Checks;
use crate::limit;
use crate::observe::metrics::Endpoint as Level;

mod budget;
mod draw;
#[cfg(test)]
mod tests;

use budget::Budget;
pub(super) use draw::draw;

/// The endpoints of a server, as they come and go while the server stays the same.
pub(crate) struct Endpoints {
    /// The number of the server.
    server: u64,
    /// The one it began with: all there is, as long as `several` is not set.
    first: Arc<Endpoint>,
    several: AtomicBool,
    group: ArcSwap<Group>,
    numbers: AtomicU64,
    /// Requests that were sent once more.
    retried: AtomicU64,
    checks: Mutex<Option<Checks>>,
}

/// The endpoints as one configuration has them.
pub(crate) struct Group {
    members: Vec<Member>,
    /// Those that were members before, for what is to be ended there.
    left: Vec<Arc<Endpoint>>,
    /// What it was made of.
    at: HttpEndpoint,
    config: Option<Arc<Balance>>,
    rule: Rule,
    /// So many may be out for what they answer.
    most_out: usize,
    budget: Arc<Budget>,
}

/// An endpoint, and its share.
struct Member {
    endpoint: Arc<Endpoint>,
    weight: u32,
    standby: bool,
}

/// There is no endpoint to send to: how long until one is tried again.
pub(crate) struct AllOut(pub Duration);

impl Endpoints {
    pub(super) fn new(server: u64, config: &Server, at: &HttpEndpoint, credentials: &Arc<Credentials>) -> Self {
        let first = Arc::new(Endpoint::new(Key::new(server, 0), at, credentials));
        let alone = Group {
            members: vec![Member { endpoint: Arc::clone(&first), weight: 1, standby: false }],
            left: Vec::new(),
            at: at.clone(),
            config: None,
            rule: Rule::ALONE,
            most_out: 0,
            budget: Arc::default(),
        };
        let endpoints = Self {
            server,
            first,
            several: AtomicBool::new(false),
            group: ArcSwap::from_pointee(alone),
            numbers: AtomicU64::new(1),
            retried: AtomicU64::new(0),
            checks: Mutex::default(),
        };
        endpoints.follow(config, at, credentials);
        endpoints
    }

    /// The only one, where there is only one.
    pub(crate) fn only(&self) -> Option<&Arc<Endpoint>> {
        (!self.several.load(Ordering::Acquire)).then_some(&self.first)
    }

    pub(crate) fn group(&self) -> Guard<Arc<Group>> {
        self.group.load()
    }

    /// Where an answer came from.
    pub(crate) fn place_of(&self, key: Key) -> Option<Place> {
        if key == self.first.key {
            return Some(self.first.place);
        }
        self.group().members.iter().find(|member| member.endpoint.key == key).map(|member| member.endpoint.place)
    }

    /// Whether a server's configuration has one of these endpoints.
    pub(super) fn has_any_of(&self, server: &Server, at: &HttpEndpoint) -> bool {
        let group = self.group();
        wanted(server, at).any(|(at, ..)| group.member(Place::of(at)).is_some())
    }

    /// Takes over what the configuration says: endpoints that stay go on as they are. `true`: something changed.
    pub(super) fn follow(&self, server: &Server, at: &HttpEndpoint, credentials: &Arc<Credentials>) -> bool {
        let old = self.group.load_full();
        if (&old.at, &old.config) == (at, &server.balance) {
            return false;
        }
        let members: Vec<Member> = wanted(server, at)
            .map(|(at, weight, standby)| {
                let place = Place::of(at);
                let endpoint = old
                    .endpoint(place)
                    .cloned()
                    .or_else(|| Some(&self.first).filter(|first| first.place == place).cloned());
                let endpoint = endpoint.unwrap_or_else(|| {
                    let key = Key::new(self.server, self.numbers.fetch_add(1, Ordering::Relaxed));
                    Arc::new(Endpoint::new(key, at, credentials))
                });
                Member { endpoint, weight, standby }
            })
            .collect();
        let is_in = |one: &&Arc<Endpoint>| !members.iter().any(|member| Arc::ptr_eq(&member.endpoint, one));
        let before = old.members.iter().map(|member| &member.endpoint).chain(&old.left);
        let left = before.filter(is_in).take(limit::ENDPOINTS_LEFT).cloned().collect();
        let several = members.len() > 1 || !Arc::ptr_eq(&members[0].endpoint, &self.first);
        let ejection = server.balance.as_ref().map(|balance| balance.ejection).filter(|_| members.len() > 1);
        let group = Group {
            rule: ejection.as_ref().map_or(Rule::ALONE, Rule::of),
            most_out: ejection.map_or(0, |ejection| ejection.most(members.len())),
            members,
            left,
            at: at.clone(),
            config: server.balance.clone(),
            budget: Arc::clone(&old.budget),
        };
        self.group.store(Arc::new(group));
        self.several.store(several, Ordering::Release);
        true
    }

    /// Endpoints are asked how they are by these from now on.
    pub(super) fn check_by(&self, checks: Option<Checks>) {
        *self.checks.lock().unwrap_or_else(PoisonError::into_inner) = checks;
    }

    pub(super) fn is_checked(&self) -> bool {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether each of them is shown: where there is only one, it is as its server is.
    pub(crate) fn are_shown(&self) -> bool {
        self.only().is_none() || self.is_checked()
    }

    /// How they are, by their numbers.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (usize, Level)> + use<> {
        let level = |endpoint: &Arc<Endpoint>| Level {
            in_service: endpoint.is_in(),
            requests: endpoint.load(false),
            ejections: endpoint.ejections.load(Ordering::Relaxed),
        };
        let levels: Vec<Level> = self.group().endpoints().map(level).collect();
        levels.into_iter().enumerate()
    }

    /// What people are told of them, by their numbers: no address. Empty where there is only one.
    pub(super) fn shown(&self) -> Vec<serde_json::Value> {
        let group = self.group();
        let shown = |(number, endpoint): (usize, &Arc<Endpoint>)| {
            serde_json::json!({
                "endpoint": number,
                "state": group.state(endpoint),
                "requests": endpoint.load(false),
                "streams": endpoint.load(true),
                "ejections": endpoint.ejections.load(Ordering::Relaxed),
            })
        };
        group.endpoints().enumerate().filter(|_| self.are_shown()).map(shown).collect()
    }

    /// A request was sent once more.
    pub(crate) fn count_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were sent once more.
    pub(crate) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }
}

/// The addresses of a server, with their shares.
fn wanted<'a>(server: &'a Server, at: &'a HttpEndpoint) -> impl Iterator<Item = (&'a HttpEndpoint, u32, bool)> {
    let listed = server.balance.iter().flat_map(|balance| &balance.endpoints);
    let alone = server.balance.is_none().then_some((at, 1, false));
    listed.map(|endpoint| (&endpoint.at, endpoint.weight, endpoint.standby)).chain(alone)
}

impl Group {
    fn member(&self, place: Place) -> Option<&Arc<Endpoint>> {
        self.members.iter().map(|member| &member.endpoint).find(|endpoint| endpoint.place == place)
    }

    /// The endpoint of a place, also one that left.
    fn endpoint(&self, place: Place) -> Option<&Arc<Endpoint>> {
        self.member(place).or_else(|| self.left.iter().find(|endpoint| endpoint.place == place))
    }

    /// All of them, in configured order.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.members.iter().map(|member| &member.endpoint)
    }

    /// How they are asked how they are.
    pub(super) fn health_check(&self) -> Option<&sluice_snapshot::model::HealthCheck> {
        self.config.as_ref()?.health_check.as_ref()
    }

    /// How an endpoint is, in a word.
    pub(crate) fn state(&self, endpoint: &Endpoint) -> &'static str {
        let standby = self.members.iter().any(|m| m.standby && m.endpoint.key == endpoint.key);
        match (endpoint.is_healthy(), endpoint.breaker.is_open()) {
            (_, true) => "ejected",
            (false, _) => "unhealthy",
            _ if standby => "standby",
            _ => "in service",
        }
    }

    /// The endpoint for a request of no session. One that was held back long enough gets one request to see whether it is back.
    /// Where none is in service, all are asked: some of them may be better than they look; but for those that would let it hang.
    /// Where those in service were tried, one request at a time is sent to the others.
    ///
    /// # Errors
    /// All would, or were tried.
    pub(crate) fn choose(&self, lasts: bool, tried: &[Key]) -> Result<&Arc<Endpoint>, AllOut> {
        let fresh = || self.members.iter().filter(|member| !tried.contains(&member.endpoint.key));
        if tried.is_empty() {
            let mut held_back = fresh().filter(|m| m.endpoint.is_healthy() && m.endpoint.breaker.is_open());
            if let Some(due) = held_back.find(|member| member.endpoint.breaker.may_try().is_ok()) {
                return Ok(&due.endpoint);
            }
        }
        let in_service = |standby| fresh().filter(move |m| m.standby == standby && m.endpoint.is_in());
        let mut drawn: SmallVec<[&Member; 8]> = in_service(false).collect();
        if drawn.is_empty() {
            drawn.extend(in_service(true));
        }
        if drawn.is_empty() && tried.is_empty() {
            drawn.extend(fresh().filter(|member| !member.endpoint.breaker.swallows()));
        } else if drawn.is_empty() {
            let held_back = fresh().find(|m| m.endpoint.is_healthy() && m.endpoint.breaker.may_try_early());
            drawn.extend(held_back);
        }
        less_busy(&drawn, lasts).ok_or_else(|| {
            let waits = fresh().filter_map(|member| member.endpoint.breaker.left());
            AllOut(waits.min().unwrap_or_default())
        })
    }

    /// An endpoint that was not tried and is found to be back, by the request that is on its way there to see.
    pub(crate) async fn found_back(&self, tried: &[Key]) -> Option<&Arc<Endpoint>> {
        for endpoint in self.endpoints().filter(|one| !tried.contains(&one.key) && one.is_healthy()) {
            if endpoint.breaker.found_out().await {
                return Some(endpoint);
            }
        }
        None
    }

    /// The endpoint that has a session. `None`: it is out of service or gone, and the session may begin anew at another.
    pub(crate) fn holder(&self, place: Place) -> Option<&Arc<Endpoint>> {
        let endpoint = self.member(place)?;
        (endpoint.is_in() || !self.has_hope(endpoint.key)).then_some(endpoint)
    }

    /// The endpoint that had a session, also one that left.
    pub(crate) fn former(&self, place: Place) -> Option<&Arc<Endpoint>> {
        self.endpoint(place)
    }

    /// Whether another than this is in service.
    pub(crate) fn has_other(&self, than: Key) -> bool {
        self.members.iter().any(|member| member.endpoint.key != than && member.endpoint.is_in())
    }

    /// Whether a session may begin anew at another than this: one that is in service, or may be back.
    pub(crate) fn has_hope(&self, than: Key) -> bool {
        let may_be_in = |other: &Endpoint| other.is_healthy() && other.breaker.may_be_back();
        self.has_other(than) || self.endpoints().any(|other| other.key != than && may_be_in(other))
    }

    /// Counts a request for what may be sent once more.
    pub(crate) fn asked(&self) {
        self.budget.asked();
    }

    /// Whether a request that failed may be sent once more, as far as there are few of them.
    pub(crate) fn may_retry(&self) -> bool {
        self.config.as_ref().is_some_and(|config| self.budget.take(config.retry_percent))
    }

    /// Whether requests that may have run, and may run twice, are sent once more.
    pub(crate) fn repeats(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.retries == Retries::Idempotent) && self.members.len() > 1
    }

    /// Notes how a request ended; `answers` is from before it was sent.
    pub(crate) fn note(&self, server: &str, endpoint: &Endpoint, ended: Ended, answers: u64) {
        let is_out = |other: &&Arc<Endpoint>| other.key != endpoint.key && other.breaker.is_open();
        let may_fail = || self.endpoints().filter(is_out).count() < self.most_out;
        let change = endpoint.breaker.note(ended, answers, &self.rule, may_fail);
        if change == Change::None || self.members.len() < 2 {
            return;
        }
        let number = self.endpoints().position(|one| one.key == endpoint.key);
        match change {
            Change::Opened(pause) => {
                endpoint.ejections.fetch_add(1, Ordering::Relaxed);
                let seconds = pause.as_secs_f64();
                tracing::warn!(server, endpoint = number, seconds, "the endpoint fails; others get its requests");
            }
            Change::Closed => tracing::info!(server, endpoint = number, "the endpoint is back in service"),
            Change::None => {}
        }
    }
}

/// The less busy of two, drawn by their weights.
fn less_busy<'a>(among: &[&'a Member], lasts: bool) -> Option<&'a Arc<Endpoint>> {
    let [one, .., _] = among else { return among.first().map(|only| &only.endpoint) };
    let total: u32 = among.iter().map(|member| member.weight).sum();
    let pick = |mut rest: u32| {
        let at = among.iter().position(|member| {
            let here = rest < member.weight;
            rest = rest.wrapping_sub(member.weight);
            here
        });
        at.unwrap_or(0)
    };
    let first = pick(draw(total));
    let mut second = pick(draw(total));
    if second == first {
        second = (first + 1) % among.len();
    }
    let busy = |member: &Member, other: &Member| u64::from(member.endpoint.load(lasts)) * u64::from(other.weight);
    let (a, b) = (among.get(first).unwrap_or(one), among.get(second).unwrap_or(one));
    Some(if busy(b, a) < busy(a, b) { &b.endpoint } else { &a.endpoint })
}
