//! A server that runs in several places: which a node prefers, and how they are looked after.

use std::time::Duration;

use sluice_contract::v1;

use super::listener::milliseconds;
use super::{Node, Notes, endpoint};
use crate::language::{Fault, HealthCheck, Path, Retries, Server, Transport};

/// A fifth more load is borne by whatever is left.
const RETRY_PERCENT: u32 = 20;
/// One slow request, or a connection that idled too long, is no failing endpoint; five in a row are.
const EJECT_FAILURES: u32 = 5;
/// A process that restarts is back within seconds.
const EJECT_PAUSE: Duration = Duration::from_secs(2);
/// Half of the endpoints can carry the load for a while.
const EJECT_PERCENT: u32 = 50;
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const UNHEALTHY: u32 = 3;
const HEALTHY: u32 = 2;

/// What does not go together. `None`: the server cannot be compiled.
pub(super) fn check(server: &Server, meant: Transport, path: &Path, notes: &mut Notes) -> Option<()> {
    let mut refuse = |key: &str, what: &str, advice: &str| {
        notes.faults.push(Fault::key(path.key(key), what).advise(advice));
        None
    };
    if !server.endpoints.is_empty() && meant != Transport::Stdio {
        if server.url.is_some() {
            return refuse("endpoints", "is a second address beside `url`", "write all of them in `endpoints`");
        }
        if server.socket.is_some() {
            let advice = "write `unix:///run/x.sock` as an endpoint";
            return refuse("socket", "is one socket for several endpoints", advice);
        }
    }
    if meant != Transport::Http {
        let advice = "leave it out, or change the transport";
        if server.endpoints.len() > 1 && meant != Transport::Stdio {
            return refuse("endpoints", "are several, which is for streamable HTTP only", advice);
        }
        if server.balance.is_some() {
            return refuse("balance", "is for streamable HTTP only", advice);
        }
    }
    Some(())
}

/// `None`: it runs in one place, and nobody asks it how it is.
pub(super) fn compile(server: &Server, path: &Path, wire: &str, node: &Node, notes: &mut Notes) -> Option<v1::Balance> {
    let said = server.balance.clone().unwrap_or_default();
    if server.endpoints.len() < 2 && server.balance.is_none() {
        return None;
    }
    let wire = format!("{wire}.balance");
    let at = path.key("balance");
    notes.origins.key(wire.clone(), at.clone());
    for (field, key) in [
        ("retry_percent", "retry_percent"),
        ("ejection.failures", "eject_failures"),
        ("ejection.pause_ms", "eject_seconds"),
        ("ejection.percent", "eject_percent"),
    ] {
        notes.origins.value(format!("{wire}.{field}"), at.key(key));
    }
    let mut shares = shares(server, node).into_iter();
    let first = shares.next();
    let endpoints = path.key("endpoints");
    notes.origins.value(format!("{wire}.share.weight"), endpoints.index(0).key("weight"));
    notes.origins.key(format!("{wire}.others"), endpoints.clone());
    let mut others = Vec::new();
    for (index, (endpoint, share)) in server.endpoints.iter().skip(1).zip(shares).enumerate() {
        let (wire, path) = (format!("{wire}.others[{index}]"), endpoints.index(index + 1));
        notes.origins.value(wire.clone(), path.key("url"));
        notes.origins.value(format!("{wire}.share.weight"), path.key("weight"));
        let address = endpoint::at(endpoint.url.trim(), Transport::Http);
        others.push(v1::Endpoint { url: address.url, socket: address.socket, share: Some(share) });
    }
    let retries = match said.retries.unwrap_or_default() {
        Retries::Unsent => v1::Retries::Unsent,
        Retries::Idempotent => v1::Retries::Idempotent,
    };
    Some(v1::Balance {
        share: Some(first.unwrap_or(v1::Share { weight: 1, standby: false })),
        others,
        retries: retries.into(),
        retry_percent: said.retry_percent.unwrap_or(RETRY_PERCENT),
        ejection: Some(v1::Ejection {
            failures: said.eject_failures.unwrap_or(EJECT_FAILURES),
            pause_ms: milliseconds(said.eject_seconds, EJECT_PAUSE),
            percent: said.eject_percent.unwrap_or(EJECT_PERCENT),
        }),
        health_check: said.health_check.as_ref().map(|said| health_check(said, &at, &wire, notes)),
    })
}

/// What each endpoint gets: those with labels the node lacks are there for when none of the others is in service. Where the
/// node has the labels of none, all are alike.
fn shares(server: &Server, node: &Node) -> Vec<v1::Share> {
    let near = |endpoint: &crate::language::Endpoint| node.is_chosen(&endpoint.labels);
    let any_near = server.endpoints.iter().any(near);
    let share = |endpoint: &crate::language::Endpoint| v1::Share {
        weight: endpoint.weight.unwrap_or(1),
        standby: any_near && !near(endpoint),
    };
    server.endpoints.iter().map(share).collect()
}

fn health_check(said: &HealthCheck, path: &Path, wire: &str, notes: &mut Notes) -> v1::HealthCheck {
    let (path, wire) = (path.key("health_check"), format!("{wire}.health_check"));
    for (field, key) in [
        ("path", "path"),
        ("interval_ms", "interval_seconds"),
        ("timeout_ms", "timeout_seconds"),
        ("unhealthy", "unhealthy"),
        ("healthy", "healthy"),
    ] {
        notes.origins.value(format!("{wire}.{field}"), path.key(key));
    }
    let interval_ms = milliseconds(said.interval_seconds, CHECK_INTERVAL);
    let usual = CHECK_TIMEOUT.min(Duration::from_millis(interval_ms));
    v1::HealthCheck {
        path: said.path.clone().unwrap_or_default(),
        interval_ms,
        timeout_ms: milliseconds(said.timeout_seconds, usual),
        unhealthy: said.unhealthy.unwrap_or(UNHEALTHY),
        healthy: said.healthy.unwrap_or(HEALTHY),
    }
}
