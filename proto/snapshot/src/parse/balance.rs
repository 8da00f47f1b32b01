//! The places a server runs in, and how requests are shared among them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_contract::v1;

use super::Faults;
use super::endpoint;
use crate::model::{Balance, Ejection, Endpoint, HealthCheck, HttpEndpoint, Retries, Transport};

/// More places than a server needs, and few enough to be looked at one after the other.
const MAX_ENDPOINTS: usize = 64;
/// More than this beside 1 is as good as all.
const MAX_WEIGHT: u32 = 1000;
/// Failures in a row that are waited for at most: beyond it nothing is ever found.
const MAX_IN_A_ROW: u32 = 1000;
/// Longest pause and interval: within an hour, everything is looked at again.
const MAX_MS: u64 = 3_600_000;
/// Shortest interval: below it, checks are a load of their own.
const MIN_INTERVAL_MS: u64 = 100;

pub(super) fn parse(wire: &v1::Balance, transport: &Transport, path: &str, faults: &mut Faults) -> Option<Balance> {
    let before = faults.0.len();
    let Transport::Http(first) = transport else {
        return faults
            .note(path.to_owned(), "belongs to streamable HTTP; a server of another transport runs in one place");
    };
    let retries = match v1::Retries::try_from(wire.retries) {
        Ok(v1::Retries::Unsent) => Retries::Unsent,
        Ok(v1::Retries::Idempotent) => Retries::Idempotent,
        Ok(v1::Retries::Unspecified) => faults.note(format!("{path}.retries"), "is missing")?,
        Err(_) => faults.note(format!("{path}.retries"), format!("{} is not known to this version", wire.retries))?,
    };
    let endpoints = endpoints(wire, first, path, faults);
    percent(wire.retry_percent, format!("{path}.retry_percent"), faults);
    let Some(ejection) = &wire.ejection else { return faults.note(format!("{path}.ejection"), "is missing") };
    within(u64::from(ejection.failures), 1..=MAX_IN_A_ROW.into(), format!("{path}.ejection.failures"), faults);
    within(ejection.pause_ms, 1..=MAX_MS, format!("{path}.ejection.pause_ms"), faults);
    percent(ejection.percent, format!("{path}.ejection.percent"), faults);
    let health_check =
        wire.health_check.as_ref().map(|wire| health_check(wire, &format!("{path}.health_check"), faults));
    let balance = Balance {
        endpoints,
        retries,
        retry_percent: wire.retry_percent,
        ejection: Ejection {
            failures: ejection.failures,
            pause: Duration::from_millis(ejection.pause_ms),
            percent: ejection.percent,
        },
        health_check,
    };
    (faults.0.len() == before).then_some(balance)
}

/// All places; the first is that of the transport.
fn endpoints(wire: &v1::Balance, first: &HttpEndpoint, path: &str, faults: &mut Faults) -> Vec<Endpoint> {
    if wire.others.len() >= MAX_ENDPOINTS {
        faults.note::<()>(format!("{path}.others"), format!("are more than {MAX_ENDPOINTS} with the first"));
    }
    if first.maybe_sse && !wire.others.is_empty() {
        faults.note::<()>(
            format!("{path}.others"),
            "need a transport that is decided: of which is it, one cannot ask them all",
        );
    }
    let mut taken = HashSet::from([place(first)]);
    let mut all: Vec<Endpoint> = share(wire.share.as_ref(), first.clone(), path, faults).into_iter().collect();
    for (index, wire) in wire.others.iter().enumerate() {
        let path = format!("{path}.others[{index}]");
        let socket = endpoint::socket(&wire.socket, &path, faults);
        let at = match endpoint::address(&wire.url) {
            Ok(at) => at,
            Err(reason) => {
                faults.note::<()>(format!("{path}.url"), reason);
                continue;
            }
        };
        let Some(socket) = socket else { continue };
        if at.tls != first.tls {
            faults.note::<()>(
                format!("{path}.url"),
                "has another scheme than the first endpoint: what is encrypted on the way to one is to be so to all",
            );
        }
        let (headers, credential) = (first.headers.clone(), first.credential.clone());
        let at = HttpEndpoint { headers, credential, socket, maybe_sse: false, ..at };
        if !taken.insert(place(&at)) {
            faults.note::<()>(format!("{path}.url"), "is there already; leave it out, or give it a larger weight");
        }
        all.extend(share(wire.share.as_ref(), at, &path, faults));
    }
    all
}

/// By what places are told apart.
fn place(at: &HttpEndpoint) -> (String, Option<std::path::PathBuf>) {
    (format!("{}{}", at.authority, at.path), at.socket.clone())
}

fn share(wire: Option<&v1::Share>, at: HttpEndpoint, path: &str, faults: &mut Faults) -> Option<Endpoint> {
    let Some(wire) = wire else { return faults.note(format!("{path}.share"), "is missing") };
    within(u64::from(wire.weight), 1..=MAX_WEIGHT.into(), format!("{path}.share.weight"), faults);
    Some(Endpoint { at, weight: wire.weight, standby: wire.standby })
}

fn health_check(wire: &v1::HealthCheck, path: &str, faults: &mut Faults) -> HealthCheck {
    within(wire.interval_ms, MIN_INTERVAL_MS..=MAX_MS, format!("{path}.interval_ms"), faults);
    within(wire.timeout_ms, 1..=wire.interval_ms.max(1), format!("{path}.timeout_ms"), faults);
    within(u64::from(wire.unhealthy), 1..=MAX_IN_A_ROW.into(), format!("{path}.unhealthy"), faults);
    within(u64::from(wire.healthy), 1..=MAX_IN_A_ROW.into(), format!("{path}.healthy"), faults);
    let is_path = wire.path.starts_with('/') && wire.path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !wire.path.is_empty() && (!is_path || wire.path.parse::<http::Uri>().is_err()) {
        faults.note::<()>(format!("{path}.path"), "is not a path such as `/health`");
    }
    HealthCheck {
        path: Some(wire.path.as_str()).filter(|path| !path.is_empty()).map(Arc::from),
        interval: Duration::from_millis(wire.interval_ms),
        timeout: Duration::from_millis(wire.timeout_ms),
        unhealthy: wire.unhealthy,
        healthy: wire.healthy,
    }
}

fn percent(value: u32, path: String, faults: &mut Faults) {
    within(u64::from(value), 0..=100, path, faults);
}

fn within(value: u64, bounds: std::ops::RangeInclusive<u64>, path: String, faults: &mut Faults) {
    if !bounds.contains(&value) {
        faults.note::<()>(path, format!("is not between {} and {}", bounds.start(), bounds.end()));
    }
}
