//! Bounds, and what is counted and shown.

use std::time::Duration;

use sluice_contract::v1;

use super::{Faults, endpoint, text};
use crate::model::{Limits, LogLevel, Monitoring, OfFleet, Sensitive, Traces};

/// The largest body that may be configured: the byte budget of a whole node, which one body must not exceed.
const MAX_BODY_BYTES: u64 = 256 << 20;
/// The deepest nesting that may be configured: servers parse recursively, and beyond this their stacks are at risk.
const MAX_JSON_DEPTH: u32 = 512;
/// The longest idle time that may be configured, 30 days: beyond it nothing is gained but memory held.
const MAX_IDLE_MS: u64 = 30 * 24 * 3600 * 1000;

/// Of a million, all.
const MILLION: u32 = 1_000_000;

/// First segments of the paths that the doors themselves serve.
const DOORS: [&str; 8] = ["mcp", "servers", "sse", "messages", "ws", "health", ".well-known", ""];

pub(super) fn parse(wire: &v1::Limits, faults: &mut Faults) -> Option<Limits> {
    let before = faults.0.len();
    let body_bytes = bounded(wire.body_bytes, MAX_BODY_BYTES, "body_bytes", faults);
    let json_depth = bounded(wire.json_depth, MAX_JSON_DEPTH, "json_depth", faults);
    if let Some(rate) = wire.requests_per_minute {
        positive(rate, "requests_per_minute", faults);
    }
    let limits = Limits {
        body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX),
        json_depth: u16::try_from(json_depth).unwrap_or(u16::MAX),
        requests_per_minute: wire.requests_per_minute,
        concurrent_requests: positive(wire.concurrent_requests, "concurrent_requests", faults),
        sessions_per_principal: positive(wire.sessions_per_principal, "sessions_per_principal", faults),
        session_idle: Duration::from_millis(bounded(wire.session_idle_ms, MAX_IDLE_MS, "session_idle_ms", faults)),
        children_per_server: positive(wire.children_per_server, "children_per_server", faults),
        children_per_principal: positive(wire.children_per_principal, "children_per_principal", faults),
        child_idle: Duration::from_millis(bounded(wire.child_idle_ms, MAX_IDLE_MS, "child_idle_ms", faults)),
        of_fleet: wire.of_fleet.as_ref().map_or_else(OfFleet::default, |wire| OfFleet {
            requests_per_minute: wire.requests_per_minute,
            concurrent_requests: wire.concurrent_requests,
            sessions_per_principal: wire.sessions_per_principal,
        }),
    };
    (faults.0.len() == before).then_some(limits)
}

pub(super) fn parse_monitoring(wire: &v1::Monitoring, faults: &mut Faults) -> Option<Monitoring> {
    let metrics_path = match wire.metrics_path.as_str() {
        "" => None,
        path => Some(metrics_path(path, faults)?),
    };
    let traces = match &wire.traces {
        Some(wire) => Some(traces(wire, faults)?),
        None => None,
    };
    let log_level = match v1::LogLevel::try_from(wire.log_level) {
        Ok(level) => log_level(level),
        Err(_) => return faults.note("monitoring.log_level", "is none that this version knows"),
    };
    Some(Monitoring { metrics_path, access_log: wire.access_log, traces, log_level })
}

fn log_level(wire: v1::LogLevel) -> Option<LogLevel> {
    match wire {
        v1::LogLevel::Unspecified => None,
        v1::LogLevel::Trace => Some(LogLevel::Trace),
        v1::LogLevel::Debug => Some(LogLevel::Debug),
        v1::LogLevel::Info => Some(LogLevel::Info),
        v1::LogLevel::Warn => Some(LogLevel::Warn),
        v1::LogLevel::Error => Some(LogLevel::Error),
    }
}

fn traces(wire: &v1::Traces, faults: &mut Faults) -> Option<Traces> {
    const PATH: &str = "monitoring.traces";
    let endpoint = endpoint::parse_origin(&wire.endpoint, &format!("{PATH}.endpoint"), faults);
    let headers = endpoint::headers(&wire.headers, endpoint::Carrier::Http, PATH, faults);
    let headers = headers.and_then(|headers| {
        let in_place = |(name, value): (String, Sensitive)| Some((name, value.value()?.clone()));
        let values: Option<Vec<_>> = headers.into_iter().map(in_place).collect();
        values.or_else(|| faults.note(format!("{PATH}.headers"), "are values themselves here, and nothing else"))
    });
    if wire.sample_per_million > MILLION {
        faults.note::<()>(format!("{PATH}.sample_per_million"), "is more than all of them");
    }
    let service = text::label(&wire.service, &format!("{PATH}.service"), faults);
    Some(Traces {
        endpoint: endpoint?,
        headers: headers?,
        sample_per_million: wire.sample_per_million.min(MILLION),
        service: service?.into(),
    })
}

fn metrics_path(path: &str, faults: &mut Faults) -> Option<String> {
    const FIELD: &str = "monitoring.metrics_path";
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let Some(rest) = path.strip_prefix('/').filter(|_| path.bytes().all(plain)) else {
        return faults.note(FIELD, "is not a path; it begins with `/` and has letters, digits and `-._~` only");
    };
    let first = rest.split('/').next().unwrap_or_default();
    if DOORS.contains(&first) {
        return faults
            .note(FIELD, format!("`{path}` is taken by a door of the gateway; use another, such as `/metrics`"));
    }
    Some(path.to_owned())
}

fn positive(value: u32, field: &str, faults: &mut Faults) -> u32 {
    bounded(value, u32::MAX, field, faults)
}

fn bounded<N: PartialOrd + Default + Copy + std::fmt::Display>(
    value: N,
    most: N,
    field: &str,
    faults: &mut Faults,
) -> N {
    let path = || format!("limits.{field}");
    if value == N::default() {
        faults.note::<()>(path(), "is 0, which would refuse everything; at least 1");
    } else if value > most {
        faults.note::<()>(path(), format!("is {value}; at most {most}"));
    }
    value
}
